"""The axes of a plot: what lies where, and round numbers to write beside it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

SMALLEST = 1e-30  # below, and above its inverse, numbers are noise or a run that blew up


class Axis(NamedTuple):
    """A stretch of numbers laid on the pixels from `start` to `end`, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The pixel of `value`."""
        low, high, place = self.low, self.high, value
        if self.logarithmic:
            low, high, place = log10(low), log10(high), log10(place)
        return self.start + (place - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers within: about five, or of each decade 1, 1 and 3, or 1, 2 and 5."""
        if not self.logarithmic:
            step = round_step((self.high - self.low) / 5)
            first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
            return [i * step for i in range(first, last + 1)]
        decades = log10(self.high) - log10(self.low)
        leading = (1, 2, 5) if decades < 1.7 else (1, 3) if decades < 3 else (1,)
        every = ceil(decades / 6)
        powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        marks = [digit * 10.0**power for power in powers if power % every == 0 for digit in leading]
        return [mark for mark in marks if self.low * 0.999 <= mark <= self.high * 1.001]


def round_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** floor(log10(least))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least * (1 - 1e-9))


def upright(values: Sequence[float], *, start: float, end: float, logarithmic: bool, from_zero: bool) -> Axis:
    """The axis that holds all finite `values`, by their logarithm if that is asked for and they span a decade."""
    finite = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if logarithmic and low > SMALLEST and high / low > 8:
        return Axis(low / 1.15, high * 1.15, start, end, True)
    if from_zero and low >= 0:
        low = 0.0
    room = max(0.05 * (high - low), 0.002 * abs(high)) or 1.0
    return Axis(low - room if low else 0.0, high + room, start, end)


def brief(value: float) -> str:
    """A tick's text: 0.05, 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{round(value, 12):g}"
