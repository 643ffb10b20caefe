"""The record of a run."""

import logging
import math
import os

from diffusion.runs.metrics import MetricsFile


def test_what_is_written_is_read_finite_or_not(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write(10, {"images": 40, "mse": 0.1})
    file.write(20, {"images": 80, "mse": math.inf, "vb": math.nan})
    first, second = file.read(file.path)
    assert first == {"step": 10, "images": 40, "mse": 0.1}
    assert second["mse"] == math.inf and math.isnan(second["vb"])


def test_rewinding_leaves_every_step_once_and_no_torn_line(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3, 4):
        file.write(step, {"mse": step / 3})
    with file.path.open("a") as torn:
        torn.write('{"step": 5, "ms')
    MetricsFile(file.path).rewind(2)
    for step in (3, 4, 5):
        file.write(step, {"mse": step / 3})
    assert file.read(file.path) == [{"step": step, "mse": step / 3} for step in (1, 2, 3, 4, 5)]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_run_without_a_file_can_be_rewound(tmp_path):
    MetricsFile(tmp_path / "metrics.jsonl").rewind(3)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_folder_costs_one_warning_and_later_lines_are_whole(tmp_path, caplog):
    file = MetricsFile(tmp_path / "gone" / "metrics.jsonl")
    with caplog.at_level(logging.WARNING):
        file.write(1, {"mse": 1.0})
        file.write(2, {"mse": 1.0})
    assert len(caplog.records) == 1
    file.path.parent.mkdir()
    file.path.write_text('{"step": 3, "ms')  # what a full disk leaves of a line
    file.write(4, {"mse": 1.0})
    assert file.read(file.path) == [{"step": 4, "mse": 1.0}]


def test_a_line_that_is_no_record_costs_itself_only(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    lines = [
        '{"loss": 1}',
        '{"step": null, "loss": 1}',
        '{"step": [1]}',
        "[1]",
        "[" * 200_000,
        '{"step": 1e999}',
        "\x00",
    ]
    huge = f'{{"step": 2, "loss": {"9" * 4000}, "a\\u001b": 1, "b": "x"}}'
    file.path.write_bytes("\n".join([*lines, huge]).encode() + b'\n\xff\xfe\n{"step": 3, "loss": 1}')
    assert file.read(file.path) == [{"step": 2, "loss": math.inf}, {"step": 3, "loss": 1}]
    file.rewind(2)
    assert file.path.read_text() == huge + "\n"


def test_a_pipe_is_no_record_and_stops_nobody(tmp_path, caplog):
    os.mkfifo(tmp_path / "metrics.jsonl")
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.rewind(3)
    file.write(4, {"mse": 1.0})
    assert file.names() == {"mse"} and len(caplog.records) == 1 and "not a regular file" in caplog.text
