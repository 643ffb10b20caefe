import io

import pytest
from watched_progress import Terminal, moved_clock

from diffusion.compute import progress
from diffusion.compute.progress import Progress, rough_duration


@pytest.fixture
def passed(monkeypatch):
    return moved_clock(monkeypatch, progress)


def lines(passed, *seconds: float) -> list[str]:
    """What a file gets of work whose pieces take so many seconds each."""
    stream = io.StringIO()
    with Progress("Packing", len(seconds), stream) as told:
        for each in seconds:
            passed(each)
            told.advance()
    return stream.getvalue().splitlines()


def test_a_file_is_told_at_the_start_and_every_half_minute(passed):
    assert lines(passed, *[1] * 100) == [
        "Packing: about 2 min left, 2% done", "Packing: about 68 s left, 32% done",
        "Packing: about 38 s left, 62% done", "Packing: about 8 s left, 92% done",
    ]  # fmt: skip


@pytest.mark.parametrize("pieces", [100, 10_000])
def test_a_file_is_told_about_ten_times_however_long_it_takes(passed, pieces):
    assert len(lines(passed, *[60] * pieces)) in (10, 11)


def test_work_of_a_second_and_the_last_second_of_any_are_not_worth_a_line(passed):
    assert lines(passed, *[0.01] * 100) == lines(passed, *[0.1] * 18) == lines(passed, 50) == []
    assert lines(passed, *[0.1] * 30) == ["Packing: about 2 s left, 33% done"]


def test_a_first_piece_that_compiles_does_not_count_for_the_others(passed):
    assert lines(passed, 60, *[2] * 10)[0] == "Packing: about 18 s left, 18% done"


def test_a_terminal_has_a_bar_that_goes_when_all_is_done(passed):
    stream = Terminal()
    with Progress("Drawing 4 images", 4, stream) as told:
        told.note = "so far so good"
        told._bar.mininterval = 0
        for _ in told.watch(range(4)):
            passed(20)
    frames = [frame.strip() for frame in stream.getvalue().split("\r")]
    assert any(frame.startswith("Drawing 4 images: about 40 s left, 50% done, so far so good  |") for frame in frames)
    assert frames[-1] == "" and "\n" not in stream.getvalue()


def test_only_the_leader_tells(passed, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert lines(passed, *[10] * 30) == []
    stream = Terminal()
    with Progress("Packing", 2, stream) as told:
        told.advance()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "seconds, text", [(0.6, "1 s"), (89, "89 s"), (100, "2 min"), (5000, "83 min"), (7200, "2 h"), (400_000, "5 days")]
)
def test_a_duration_is_in_the_unit_that_suits_it(seconds, text):
    assert rough_duration(seconds) == text
