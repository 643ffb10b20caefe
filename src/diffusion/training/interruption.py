"""A request to stop that waits for the step in hand."""

from __future__ import annotations

import os
import signal
from time import monotonic
from types import FrameType

from diffusion.compute import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # schedulers choose among the last three
# Seconds in which a signal is the first one heard again: torchrun passes on what a terminal or scheduler has sent to
# its processes already, and of those that a scheduler signals one may have heard of it from another.
ECHO = 3.0


class Interruption:
    """Notes that Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2 has come; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0

    def __enter__(self) -> Interruption:
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def agreed(self) -> bool:
        """True once one has come to any of the processes, which must all ask."""
        told = distributed.all_max(self.signal or 0)
        if told and self.signal is None:
            self.signal, self._since = told, monotonic()
        return told > 0  # and not by one's own signal alone, which may have come while the others were asked

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that the signal ended."""
        return 0 if self.signal is None else 128 + self.signal

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, monotonic()
        elif distributed.world_size() == 1 or monotonic() - self._since > ECHO:
            os._exit(128 + number)
