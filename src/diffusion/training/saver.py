"""Writes checkpoints beside the training: a step waits for a copy in memory, never for the disk."""

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
    """Keeps the last `keep` states given to it, and every `keep_every`-th step, as files in `folder`.

    One thread writes one after the other. What is given while it writes waits; of those that wait only the newest is
    written, with those that are kept for good. A file that cannot be written costs a warning; `close` raises what went
    wrong if that was the last one.
    """

    def __init__(
        self, folder: Path, *, keep: int, keep_every: int | None, written: Callable[[Path, int], None] | None = None
    ) -> None:
        self.folder, self.keep, self.keep_every = folder, keep, keep_every
        self.written = written
        self._waiting: list[State] = []
        self._change = Condition()
        self._failure: Exception | None = None
        self._closed = False
        self._thread = Thread(target=self._write_all, name="checkpoints", daemon=True)
        self._thread.start()

    def save(self, state: State) -> None:
        """Have `state` written as it is now, whatever becomes of its tensors."""
        copy = snapshot(state)
        with self._change:
            self._waiting = [one for one in self._waiting if self._stays(one["step"])] + [copy]
            self._change.notify()

    def close(self) -> None:
        """Wait until all is written."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _stays(self, step: int) -> bool:
        return self.keep_every is not None and step % self.keep_every == 0

    def _write_all(self) -> None:
        give_way()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                state = self._waiting.pop(0)
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
            if self.written is not None:
                self.written(path, state["step"])


def give_way() -> None:
    """Let this thread have a core when the training wants none, where a thread has a priority of its own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


def snapshot(tree: Any) -> Any:
    """Dicts and lists with a copy of every tensor, in ordinary memory."""
    if isinstance(tree, Tensor):
        return tree.detach().cpu() if tree.device.type != "cpu" else tree.detach().clone()
    if isinstance(tree, dict):
        return {key: snapshot(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [snapshot(value) for value in tree]
    return tree
