import io

import pytest
from watched_progress import Terminal, moved_clock

from diffusion.training import progress
from diffusion.training.progress import TrainingProgress


@pytest.fixture
def passed(monkeypatch):
    return moved_clock(monkeypatch, progress)


def test_a_file_gets_one_plain_line_per_update(passed):
    stream = io.StringIO()
    bar = TrainingProgress(2000, 0, stream)
    passed(20)
    bar.update(200, images_per_second=412.3, loss=0.123)
    passed(10)
    bar.update(300, images_per_second=0.83, loss=float("nan"))
    bar.close()
    assert stream.getvalue().splitlines() == [
        "step 200/2000  loss 0.123  412 images/s  ETA 03:00",
        "step 300/2000  loss nan  0.83 images/s  ETA 02:50",
    ]


def test_the_time_left_of_a_resumed_run_is_at_this_sessions_speed(passed):
    stream = io.StringIO()
    bar = TrainingProgress(1000, 900, stream)
    passed(20)
    bar.update(910, images_per_second=1, loss=1)
    assert stream.getvalue().endswith("ETA 03:00\n")


def test_a_slow_first_step_is_soon_forgotten(passed):
    stream = io.StringIO()
    bar = TrainingProgress(1000, 0, stream)
    passed(100)
    bar.update(10, images_per_second=1, loss=1)
    for step in range(20, 210, 10):
        passed(10)
        bar.update(step, images_per_second=1, loss=1)
    assert stream.getvalue().endswith("ETA 13:28\n")  # 800 s, and 1 % of the first step's ninety


def test_an_endless_run_has_no_time_left(passed):
    for stream in (io.StringIO(), Terminal()):
        bar = TrainingProgress(None, 0, stream)
        passed(1)
        bar.update(10, images_per_second=5, loss=1)
        bar.close()
        assert "step 10  loss 1  5 images/s" in stream.getvalue() and "ETA" not in stream.getvalue()


def test_a_terminal_gets_a_bar(passed):
    stream = Terminal()
    bar = TrainingProgress(100, 50, stream)
    passed(5)
    bar.update(60, images_per_second=16, loss=0.25)
    bar.close()
    frames = [frame.strip() for frame in stream.getvalue().replace("\n", "\r").split("\r")]
    assert any(f.startswith("step 60/100  loss 0.25  16 images/s  ETA 00:20  |") and f.endswith("|") for f in frames)


def test_a_run_that_rarely_logs_says_early_when_it_ends(passed):
    stream = io.StringIO()
    bar = TrainingProgress(1000, 0, stream)
    for step in range(1, 31):
        passed(1)
        bar.tick(step)
    assert stream.getvalue().splitlines() == ["step 20/1000  ETA 16:20"]


def test_a_run_that_often_logs_is_not_interrupted(passed):
    stream = io.StringIO()
    bar = TrainingProgress(1000, 0, stream)
    for step in range(1, 31):
        passed(1)
        bar.tick(step)
        if step % 10 == 0:
            bar.update(step, images_per_second=1, loss=1)
    assert len(stream.getvalue().splitlines()) == 3
