"""Noise schedules: a shape. How many steps it is cut into belongs to the process."""

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Schedule(Protocol):
    """Anything that gives the variances beta_0 .. beta_{T-1} of T noising steps."""

    def betas(self, steps: int) -> Tensor:
        """float64, (steps,), each in (0, 1]."""


class Linear:
    """beta_t rises in equal steps, scaled by 1000 / T so that every T ends at the same noise (Ho et al. 2020).

    The last beta is `end` * 1000 / T, so with the defaults T must be at least 20.
    """

    def __init__(self, *, start: float = 1e-4, end: float = 0.02) -> None:
        self.start, self.end = start, end

    def betas(self, steps: int) -> Tensor:
        scale = 1000 / steps
        return torch.linspace(scale * self.start, scale * self.end, steps, dtype=torch.float64)


class Cosine:
    """alpha_bar(t) = cos^2((t / T + s) / (1 + s) * pi / 2), scaled to 1 at t = 0 (Nichol & Dhariwal 2021, eq. 17).

    `max_beta` keeps the last step from destroying everything at once; with the defaults only that step is clipped.
    """

    def __init__(self, *, offset: float = 0.008, max_beta: float = 0.999) -> None:
        self.offset, self.max_beta = offset, max_beta

    def betas(self, steps: int) -> Tensor:
        u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        alpha_bar = torch.cos((u + self.offset) / (1 + self.offset) * math.pi / 2) ** 2
        return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=self.max_beta)
