"""The progress of a training run: a bar on a terminal, plain lines in a file."""

import math
import sys
from time import monotonic
from typing import TextIO

from tqdm import tqdm

EARLY = 20  # seconds until a first line, so that a run that is slow or rarely logs has a first ETA soon
SMOOTHING = 0.3  # weight of the newest interval in the speed, so that a slow first step is soon forgotten


class TrainingProgress:
    """Step, loss, speed and time left of a run that starts at step `start` and ends at `total`, None for never."""

    def __init__(self, total: int | None, start: int = 0, stream: TextIO | None = None) -> None:
        self.total, self.stream = total, stream or sys.stderr
        self._step, self._time = start, monotonic()
        self._early = self._time + EARLY
        self._seconds_per_step: float | None = None
        layout = "{desc}" if total is None else "{desc}  |{bar}|"
        # disable=None: only a terminal has a bar.
        self._bar = tqdm(
            total=total, initial=start, file=self.stream, bar_format=layout, dynamic_ncols=True, disable=None
        )

    def tick(self, step: int) -> None:
        """Show the step and the time left once, early; called after every step."""
        if monotonic() >= self._early:
            self._show(step)

    def update(self, step: int, images_per_second: float, loss: float) -> None:
        """Show step, loss, speed and time left; called once per logging interval."""
        speed = f"{images_per_second:.0f}" if images_per_second >= 10 else f"{images_per_second:.2g}"
        self._show(step, f"  loss {loss:.4g}  {speed} images/s")

    def close(self) -> None:
        self._bar.close()

    def _show(self, step: int, readings: str = "") -> None:
        now, self._early = monotonic(), math.inf
        if step > self._step:
            newest = (now - self._time) / (step - self._step)
            before = newest if self._seconds_per_step is None else self._seconds_per_step
            self._seconds_per_step = SMOOTHING * newest + (1 - SMOOTHING) * before
            self._step, self._time = step, now
        text = f"step {step}{'' if self.total is None else f'/{self.total}'}{readings}"
        if self.total is not None and self._seconds_per_step is not None:
            text += f"  ETA {tqdm.format_interval(round(self._seconds_per_step * (self.total - step)))}"
        if self._bar.disable:
            print(text, file=self.stream, flush=True)
        else:
            self._bar.n = step
            self._bar.set_description_str(text)
