"""Writing checkpoints in a thread: a step waits for a copy in memory, never for the disk."""

import logging
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock, get_native_id
from typing import Any

from torch import Tensor

from diffusion.runs import checkpoints, snapshots
from diffusion.runs.state import require_readable
from diffusion.training.parallel import map_tensors

log = logging.getLogger(__name__)

State = dict[str, Any]


class Saver:
    """Writes states to files in `folder`, of which the last `keep` and every `keep_every`-th step remain.

    One thread writes one file after the other. Of the states that queue up meanwhile it writes the newest, and those of
    a `keep_every`-th step. Files that cannot be written cost a warning, the first time; `close` raises the error if the
    last is one of them.
    """

    def __init__(
        self, folder: Path, *, keep: int, keep_every: int | None, on_write: Callable[[Path, int], None] | None = None
    ) -> None:
        self.folder, self.keep, self.keep_every, self.on_write = folder, keep, keep_every, on_write
        self._queue: list[State] = []
        self._lock = Lock()
        self._failure: Exception | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoints", initializer=lower_priority)

    def save(self, state: State) -> None:
        """Queue a copy of `state`; its tensors may change afterwards. ValueError if it could not be read back."""
        copy = map_tensors(lambda tensor: tensor.detach().to("cpu", copy=True).resolve_neg(), state)
        require_readable(copy)
        with self._lock:
            waiting = [one for one in self._queue if self.keep_every and one["step"] % self.keep_every == 0]
            self._queue = [*waiting, copy]
        self._thread.submit(self._write)

    def save_averages(self, step: int, averages: dict[str, dict[str, Tensor]]) -> None:
        """Queue a copy of the averages of each width, of which others are made: every one is written."""
        copy = map_tensors(lambda tensor: tensor.detach().to("cpu", copy=True), averages)
        self._thread.submit(self._write_averages, step, copy)

    def _write_averages(self, step: int, averages: dict[str, dict[str, Tensor]]) -> None:
        try:
            snapshots.save_snapshot(self.folder.parent / "snapshots", step, averages)
        except Exception as error:  # safetensors raises its own
            log.warning("The averages of step %d are not kept: %s", step, getattr(error, "strerror", None) or error)

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """`close`, which must not hide another error."""
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            log.warning("The last checkpoint was not written: %s", failure)

    def close(self) -> None:
        """Wait until all queued states are written."""
        self._thread.shutdown()
        error = self._failure
        if isinstance(error, OSError) and error.errno is not None:
            step = checkpoints.last_step(self.folder)
            rest = f"the same command goes on from step {step}" if step else "there is no checkpoint"
            raise OSError(error.errno, f"{error.strerror}; {rest}", error.filename) from error
        if error is not None:
            raise error

    def _write(self) -> None:
        with self._lock:
            if not self._queue:  # Another took its place.
                return
            state = self._queue.pop(0)
        step = state["step"]
        try:
            path = checkpoints.save_checkpoint(self.folder, state, keep=self.keep, keep_every=self.keep_every)
        except Exception as error:  # Whatever it is, the thread lives on: the next file may succeed.
            if self._failure is None:
                reason = getattr(error, "strerror", None) or error
                log.warning("Training goes on without a checkpoint of step %d, and tries later ones: %s", step, reason)
            self._failure = error
        else:
            if self._failure is not None:
                log.warning("Checkpoints are written again, that of step %d first", step)
            self._failure = None
            if self.on_write is not None:
                self.on_write(path, step)


def lower_priority() -> None:
    """Lower this thread's priority below the training's, on systems where threads have one."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)
