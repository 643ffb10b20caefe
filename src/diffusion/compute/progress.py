"""The progress of long work: a bar on a terminal, elsewhere a line now and then that says how much longer it takes."""

import math
import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TextIO, TypeVar

from tqdm import tqdm

from diffusion.compute import distributed

T = TypeVar("T")

BRIEF = 1.0  # seconds of work, done or to be done, that deserve no line
EVERY = 30.0  # seconds between two lines
MOST_LINES = 10  # roughly, however long the work takes


class Progress:
    """Tells how much of `total` is done, and about how long the rest takes, while it is open as a context.

    Where no terminal shows a bar, work of less than a second says nothing. Only the process that leads tells. What
    `note` holds is shown beside it.
    """

    def __init__(self, what: str, total: float, stream: TextIO | None = None) -> None:
        self.what, self.total, self.stream, self.note = what, total, stream or sys.stderr, ""
        self._done, self._start = 0.0, monotonic()
        self._first: tuple[float, float] | None = None
        self._next = self._start + BRIEF
        # disable=None: only a terminal has a bar.
        self._bar = tqdm(
            total=total, desc=what, file=self.stream, bar_format="{desc}  |{bar}|", dynamic_ncols=True, leave=False,
            disable=None if distributed.is_leader() else True,
        )  # fmt: skip

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def watch(self, work: Iterable[T], amount: float = 1) -> Iterator[T]:
        """The same pieces of work, each of which counts `amount` as done when it comes."""
        for piece in work:
            self.advance(amount)
            yield piece

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more as done."""
        now = monotonic()
        self._done += amount
        if self._first is None:  # It may have compiled, read or warmed up, and says nothing of the others.
            self._first = now, self._done
        left = self._seconds_left(now)
        if not self._bar.disable:
            self._bar.set_description_str(self._text(left), refresh=False)
            self._bar.update(amount)
        elif distributed.is_leader() and now >= self._next and BRIEF <= left < math.inf:
            print(self._text(left), file=self.stream, flush=True)
            self._next = now + max(EVERY, (now - self._start + left) / MOST_LINES)

    def _seconds_left(self, now: float) -> float:
        """What the rest takes at the speed since the first piece; infinity while there is none."""
        assert self._first is not None, "the piece in hand is done"
        since, before = self._first
        speed = (self._done - before) / max(now - since, 1e-9)
        return max(self.total - self._done, 0) / speed if speed > 0 else math.inf

    def _text(self, left: float) -> str:
        time = [] if math.isinf(left) else [f"about {rough_duration(left)} left"]
        note = [self.note] if self.note else []
        return f"{self.what}: {', '.join([*time, f'{min(self._done / self.total, 1):.0%} done', *note])}"


def rough_duration(seconds: float) -> str:
    """The seconds in the unit that suits them: 40 s, 12 min, 5 h."""
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 72)):
        if seconds < most * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
