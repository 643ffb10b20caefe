"""The tables on a terminal."""

import re
from pathlib import Path

import pytest

from diffusion.report.plain_text import display_width, plain_text
from diffusion.report.runs import RunRecord
from diffusion.report.table import Cell, Column, columns


def run(name, loss, **outcome):
    return RunRecord(Path(name), {}, outcome, [{"step": 1, "images": 1, "loss": loss}], {})


def column(head, *texts, numeric=True, meaning="", notes=("",) * 9):
    return Column(head, meaning, [Cell(text, note) for text, note in zip(texts, notes, strict=False)], numeric)


def test_columns_are_aligned_and_what_failed_runs_say_stands_below():
    text = plain_text(columns([run("a", 0.25), run("longer", 0.5, state="failed", message="out of memory")]))
    _, first, second, _, said = text.splitlines()
    assert second.startswith("longer  failed") and said == "longer: out of memory"
    assert first.index("0.2500") == second.index("0.5000")


def test_columns_of_one_head_are_told_apart_by_their_meaning():
    table = [column("run", "a"), *(column("recall", "1", meaning=meaning) for meaning in ("here", "there"))]
    assert re.search(r" recall \(here\) +recall \(there\)$", plain_text(table).splitlines()[0])


@pytest.mark.parametrize("width", [60, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width):
    names = column("run", "run" * 40, "고양이", "a", numeric=False)
    numbers = [column(f"metric_{i}", *(f"{i}.{row}" for row in range(3)), notes=["best 1"] * 3) for i in range(20)]
    settings = column("settings", "–", " · ".join(f"key_{i} value" for i in range(40)), "lr 1", numeric=False)
    state = column("state", "failed", "finished", "running", numeric=False, notes=["no room " * 40, "", ""])
    text = plain_text([names, state, *numbers, settings], width)
    assert max(map(display_width, text.splitlines())) <= width
    words = " ".join(text.split())
    assert all(f"{i}.{row} " in words for i in range(20) for row in range(3))
    assert all(f"key_{i} value" in re.sub(r"\s+", " ", text) for i in range(40)) and words.count("no room") == 40


def test_long_names_are_cut_where_they_stay_apart_and_whole_where_there_is_room():
    names = [f"{'a' * 20}{middle}{'b' * 20}" for middle in "xy"]
    for count in (1, 9):
        numbers = [column(f"metric_{i}", "1", "2") for i in range(count)]
        lines = plain_text([column("run", *names, numeric=False), *numbers]).splitlines()
        shown = [line.split()[0] for line in lines if line.startswith("aaa")]
        assert len({*shown}) == 2 and max(map(len, shown)) == (41 if count == 1 else 30)


def test_words_that_are_those_of_the_row_above_are_not_repeated():
    words = [" ".join(["word"] * 40), *["other " * 40] * 2]
    text = plain_text([column("run", "a", "b", "c", numeric=False), column("settings", *words, numeric=False)])
    assert text.count("word") == text.count("other") == 40 and text.endswith("c    as above")


def test_letters_of_east_asia_take_two_columns():
    lines = plain_text([column("run", "고양이", "cat", numeric=False), column("steps", "1", "2")]).splitlines()
    assert [display_width(line) for line in lines] == [display_width(lines[0])] * 3
