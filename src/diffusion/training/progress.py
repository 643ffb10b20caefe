"""The progress of a training run: a bar on a terminal, plain lines in a file."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TextIO

from tqdm import tqdm

EARLY = 20  # seconds until a first line, so that a run that is slow or rarely logs has a first ETA soon
SMOOTHING = 0.3  # weight of the newest interval in the speed, so that a slow first step is soon forgotten


class Progress:
    """Step, loss, speed and time left of a run that starts at step `start` and ends at `total`, None for never."""

    def __init__(self, total: int | None, start: int = 0, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = stream or sys.stderr
        self._step, self._time = start, monotonic()
        self._early: float | None = self._time + EARLY
        self._seconds_per_step: float | None = None
        self._bar: tqdm | None = None
        if self.stream.isatty():
            layout = "{desc}" if total is None else "{desc}  |{bar}|"
            self._bar = tqdm(total=total, initial=start, file=self.stream, bar_format=layout, dynamic_ncols=True)

    def tick(self, step: int) -> None:
        """Show the step and the time left once, early; called after every step."""
        if self._early is not None and monotonic() >= self._early:
            self._measure(step)
            self._show(step, self._time_left())

    def update(self, step: int, images_per_second: float, loss: float) -> None:
        """Show step, loss, speed and time left; called once per logging interval."""
        self._measure(step)
        speed = f"{images_per_second:.0f}" if images_per_second >= 10 else f"{images_per_second:.2g}"
        self._show(step, f"  loss {loss:.4g}  {speed} images/s{self._time_left()}")

    def _show(self, step: int, text: str) -> None:
        self._early = None
        text = f"step {step}{'' if self.total is None else f'/{self.total}'}{text}"
        if self._bar is None:
            self.say(text)
        else:
            self._bar.n = step
            self._bar.set_description_str(text)

    def say(self, text: str) -> None:
        """Print a line of its own, above the bar if there is one."""
        if self._bar is None:
            print(text, file=self.stream, flush=True)
        else:
            self._bar.write(text, file=self.stream)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _measure(self, step: int) -> None:
        now = monotonic()
        if step > self._step:
            newest = (now - self._time) / (step - self._step)
            before = newest if self._seconds_per_step is None else self._seconds_per_step
            self._seconds_per_step = SMOOTHING * newest + (1 - SMOOTHING) * before
            self._step, self._time = step, now

    def _time_left(self) -> str:
        if self.total is None or self._seconds_per_step is None:
            return ""
        return f"  ETA {clock(self._seconds_per_step * (self.total - self._step))}"


def clock(seconds: float) -> str:
    """3:21 for 201 seconds, 26:03:21 for a day and more."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
