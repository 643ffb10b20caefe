"""A run that is refused leaves nothing behind: no folder, no log, and nothing of what was there is touched."""

import logging
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from diffusion.cli.command import tidy_up
from diffusion.cli.new_folders import NewFolders
from diffusion.cli.run_log import RunLog


@pytest.fixture
def begin(monkeypatch):
    """begin(runs, name) -> the folder that Hydra makes for a run."""
    monkeypatch.setattr(NewFolders, "runs", None)
    monkeypatch.setattr(NewFolders, "missing", [])

    def begin(runs: Path, name: str) -> Path:
        NewFolders().on_run_start(OmegaConf.create({"runs": str(runs)}))
        (runs / name).mkdir(parents=True, exist_ok=True)
        return runs / name

    return begin


def refuse(folder: Path, *, logs: bool) -> None:
    with pytest.raises(ValueError), tidy_up(folder):
        handler = RunLog(folder / "train.log", delay=True)
        logging.getLogger().addHandler(handler)
        if logs:
            handler.emit(logging.makeLogRecord({"msg": "Run folder: ..."}))
        raise ValueError


@pytest.mark.parametrize("logs", [False, True])
def test_folders_and_the_log_of_a_run_that_never_began_are_removed(begin, tmp_path, logs):
    refuse(begin(tmp_path / "new" / "runs", "group/run"), logs=logs)
    assert not list(tmp_path.iterdir())


def test_a_folder_for_runs_that_was_there_stays_and_so_does_what_others_keep(begin, tmp_path):
    (tmp_path / "runs" / "other").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    refuse(begin(tmp_path / "runs", "run"), logs=True)
    refuse(begin(tmp_path / "empty", "run"), logs=True)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == ["empty", "runs", "runs/other"]


def test_the_log_of_a_run_that_has_more_or_that_another_process_writes_stays(begin, tmp_path):
    folder = begin(tmp_path / "runs", "run")
    (folder / "train.log").write_text("of another\n")
    refuse(folder, logs=False)
    assert (folder / "train.log").exists()
    (folder / "config.yaml").write_text("")
    refuse(folder, logs=True)
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "train.log"]
