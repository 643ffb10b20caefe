"""What observes a training run: the contract of a logger, and several of them as one."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from diffusion.runs.redaction import redact

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

LONGEST_MESSAGE = 300  # of what an error says


class Logger:
    """Is told of a training run by the process that leads it, and here keeps nothing of it.

    The run folder holds the exact record (`MetricsFile`, samples/, checkpoints/) in any case. What a method raises
    costs a warning, never the training; what cannot work at all is refused by the constructor.
    """

    def start(
        self,
        folder: Path,
        *,
        name: str,
        config: dict[str, Any],
        resume: bool,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """A run of these settings begins in `folder`, or goes on there if `resume`.

        `provenance` is what `record_provenance` returned.
        """

    def log(self, step: int, values: Mapping[str, float], panel: str | None = None) -> None:
        """Metrics of `step`; `panel` is where they are shown together, such as quality."""

    def images(self, step: int, name: str, picture: "np.ndarray | Path", caption: str) -> None:
        """A picture of `step`, uint8 (H, W, C) or a file."""

    def checkpoint(self, path: Path, step: int) -> None:
        """The checkpoint of `step` lies at `path`."""

    def alert(self, title: str, text: str) -> None:
        """What whoever watches the run must hear."""

    def finish(self, exit_code: int = 0) -> None:
        """Nothing follows; `exit_code` is 0 unless the run failed or was stopped."""


class Loggers(Logger):
    """One logger, or two, told the same; one that fails costs a warning, the first time, and not the other."""

    def __init__(self, first: Logger, second: Logger | None = None) -> None:
        self._loggers = [logger for logger in (first, second) if logger is not None]
        self._failed: set[Logger] = set()

    def start(self, folder: Path, **about: Any) -> None:
        self._tell(lambda each: each.start(folder, **about))

    def log(self, step: int, values: Mapping[str, float], panel: str | None = None) -> None:
        self._tell(lambda each: each.log(step, values, panel))

    def images(self, step: int, name: str, picture: "np.ndarray | Path", caption: str) -> None:
        self._tell(lambda each: each.images(step, name, picture, caption))

    def checkpoint(self, path: Path, step: int) -> None:
        self._tell(lambda each: each.checkpoint(path, step))

    def alert(self, title: str, text: str) -> None:
        self._tell(lambda each: each.alert(title, text))

    def finish(self, exit_code: int = 0) -> None:
        self._tell(lambda each: each.finish(exit_code))

    def _tell(self, call: Callable[[Logger], None]) -> None:
        for logger in self._loggers:
            try:
                call(logger)
            except Exception as error:
                if logger not in self._failed:
                    name = type(logger).__name__
                    log.warning("Training goes on, but %s misses records: %s", name, first_line(error))
                self._failed.add(logger)


def first_line(error: BaseException) -> str:
    """What an error says, its lines joined and shortened, without keys."""
    return shorten(redact(str(error)), LONGEST_MESSAGE, placeholder=" ...") or type(error).__name__
