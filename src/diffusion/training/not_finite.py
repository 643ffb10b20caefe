"""Stopping at a loss or gradient that is not finite, before it reaches the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffusion.compute.precision import Precision


class NotFinite(ValueError):
    """A loss or gradient that would spoil the weights."""


class NonFiniteGuard:
    """Skips an update whose loss or gradient is not finite, and remembers the first.

    On a CPU it raises at once. On a GPU, that would make every step wait: there the fused optimizer skips the update,
    and `check` raises later.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, precision: Precision) -> None:
        self.optimizer = optimizer
        self.first = torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64, device=precision.device)
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        self.at_once = not (fused and precision.device.type == "cuda")

    def look(self, step: int, loss: Tensor, norm: Tensor) -> None:
        spoilt = ~(loss.isfinite() & norm.isfinite())
        here = torch.stack([torch.full_like(self.first[0], step), loss.double(), norm.double()])
        self.first = torch.where(spoilt & (self.first[0] < 0), here, self.first)
        if self.at_once:
            self.check()
        else:
            self.optimizer.found_inf = spoilt.float()  # type: ignore[attr-defined]

    def check(self) -> None:
        step, loss, norm = self.first.tolist()
        if step >= 0:
            name, value = ("gradient", norm) if math.isfinite(loss) else ("loss", loss)
            raise NotFinite(f"the {name} of step {step:.0f} is {value}")
