"""Whether a run found no folder for runs, so that one that it leaves empty can be removed again."""

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class NewFolders(Callback):
    """Notes what is missing of the way to the runs folder before Hydra makes it."""

    runs: ClassVar[Path | None] = None
    missing: ClassVar[list[Path]] = []

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        with suppress(OSError):  # such as a name that is too long, of which Hydra's own attempt to make it tells
            NewFolders.runs = runs = Path(config.runs).absolute()
            NewFolders.missing = [place for place in (runs, *runs.parents) if not place.exists()]


def remove_empty(folder: Path) -> None:
    """Remove a run's folder and those around it that are empty, up to the folder of runs, and it if it is new."""
    inside = [] if NewFolders.runs is None else [p for p in folder.parents if NewFolders.runs in p.parents]
    with suppress(OSError):
        for place in (folder, *inside, *NewFolders.missing):
            place.rmdir()
