"""Writing checkpoints in a thread: a step waits for a copy in memory, never for the disk."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread, get_native_id
from typing import Any

from torch import Tensor

from diffusion.runs import checkpoints

log = logging.getLogger(__name__)

State = dict[str, Any]


class Saver:
    """Writes states to files in `folder`, of which the last `keep` and every `keep_every`-th step remain.

    One thread writes one file after the other. Of the states that queue up meanwhile it writes the newest, and those of
    a `keep_every`-th step. A file that cannot be written costs a warning; `close` raises the error if it was the last.
    """

    def __init__(
        self, folder: Path, *, keep: int, keep_every: int | None, on_write: Callable[[Path, int], None] | None = None
    ) -> None:
        self.folder, self.keep, self.keep_every = folder, keep, keep_every
        self.on_write = on_write
        self._queue: list[State] = []
        self._change = Condition()
        self._failure: Exception | None = None
        self._closed = False
        self._thread = Thread(target=self._write_all, name="checkpoints", daemon=True)
        self._thread.start()

    def save(self, state: State) -> None:
        """Queue a copy of `state`; its tensors may change afterwards."""
        copy = snapshot(state)
        with self._change:
            self._queue = [one for one in self._queue if self._stays(one["step"])] + [copy]
            self._change.notify()

    def close(self) -> None:
        """Wait until all queued states are written."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _stays(self, step: int) -> bool:
        return self.keep_every is not None and step % self.keep_every == 0

    def _write_all(self) -> None:
        lower_priority()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                state = self._queue.pop(0)
            self._write(state)

    def _write(self, state: State) -> None:
        try:
            path = checkpoints.save_checkpoint(self.folder, state, keep=self.keep, keep_every=self.keep_every)
        except Exception as error:  # Whatever it is, the thread lives on: the next file may succeed.
            self._failure = error
            log.warning(
                "Training goes on without a checkpoint of step %d: %s",
                state["step"],
                getattr(error, "strerror", None) or error,
            )
        else:
            self._failure = None
            if self.on_write is not None:
                self.on_write(path, state["step"])


def lower_priority() -> None:
    """Lower this thread's priority below the training's, on systems where threads have one."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


def snapshot(tree: Any) -> Any:
    """A copy of nested dicts and lists, every tensor copied to the CPU's memory."""
    if isinstance(tree, Tensor):
        return tree.detach().cpu() if tree.device.type != "cpu" else tree.detach().clone()
    if isinstance(tree, dict):
        return {key: snapshot(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [snapshot(value) for value in tree]
    return tree
