"""A run's log holds up nobody."""

import logging
import os

import pytest

from diffusion.cli.run_log import RunLog


def test_a_pipe_in_its_place_is_an_error_at_the_first_line(tmp_path):
    os.mkfifo(tmp_path / "train.log")
    handler = RunLog(tmp_path / "train.log", delay=True)
    with pytest.raises(OSError, match="not a regular file"):
        handler.emit(logging.makeLogRecord({"msg": "Run folder"}))


def test_lines_are_appended(tmp_path):
    (tmp_path / "train.log").write_text("before\n")
    handler = RunLog(tmp_path / "train.log", delay=True)
    handler.emit(logging.makeLogRecord({"msg": "after"}))
    handler.close()
    assert (tmp_path / "train.log").read_text() == "before\nafter\n"
