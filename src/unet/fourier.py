"""What makes small differences of pixels visible to a network."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers import without_autocast

MOST = 12  # the power whose period, 2^-11, float32 still resolves well near 1


class FourierFeatures(nn.Module):
    """(N, C, ...) -> (N, C (1 + 2 K), ...): x, then sin(2^n pi x) and cos(2^n pi x) for each of K powers n.

    At the cleanest levels, where bits/dim are decided, all that is left to tell apart are neighbouring values of a
    pixel, 2 / 255 of each other (Kingma et al. 2021).
    """

    def __init__(self, powers: Sequence[int]):
        super().__init__()
        if len({*powers}) < len(powers) or any(not 0 <= power <= MOST for power in powers):
            raise ValueError(
                f"fourier_features={list(powers)} must be different powers from 0 to {MOST}; "
                "set 'model.fourier_features=[6,7]', or []"
            )
        self.powers = tuple(powers)

    def forward(self, x: Tensor) -> Tensor:
        if not self.powers:
            return x
        with without_autocast(x):
            angles = [2**power * math.pi * x for power in self.powers]
            return torch.cat([x, *(wave for angle in angles for wave in (angle.sin(), angle.cos()))], dim=1)

    def count(self, channels: int) -> int:
        """How many channels come out of so many."""
        return channels * (1 + 2 * len(self.powers))
