"""Signals that ask a training to stop after its current step."""

import os
import signal
from time import monotonic
from types import FrameType

from diffusion.compute import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # schedulers choose among the last three
# Seconds in which a second signal counts as the first one repeated: torchrun forwards a signal that a terminal or
# scheduler has also sent to its processes, and a process may have heard of it from another one before.
ECHO = 3.0
PATIENCE = 1.0  # seconds after a signal in which the images of one more step may come


class Interruption:
    """Records that Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2 came; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def agreed(self) -> bool:
        """True once a signal came to any process; all processes must ask."""
        number = distributed.all_max(self.signal or 0)
        if number and self.signal is None:
            self.signal, self._since = number, monotonic()
        return number > 0  # Not self.signal: one that came since the exchange is not known to the others yet.

    @property
    def overdue(self) -> bool:
        """True once a signal to this process has waited so long that what blocks it may be waited for no longer."""
        return self.signal is not None and monotonic() - self._since > PATIENCE

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that the signal ended; 0 without one."""
        return 0 if self.signal is None else 128 + self.signal

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, monotonic()
        elif distributed.world_size() == 1 or monotonic() - self._since > ECHO:
            os._exit(128 + number)
