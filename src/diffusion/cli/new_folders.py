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

    @classmethod
    def around(cls, folder: Path) -> list[Path]:
        """The folders around a run's, up to that of runs and, if they were missing, beyond; the innermost first."""
        return [*(place for place in folder.parents if cls.runs in place.parents), *cls.missing]
