"""Data whose diffusion is known in closed form: independent pixels, each N(mean, std^2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from diffusion import VLB, Cosine, Epsilon, GaussianDiffusion, Learned
from diffusion.denoiser.denoiser import Denoised, ReverseGaussian
from diffusion.process.level import Level, Move, as_factor


class Called(nn.Module):
    """A function of (x_t, time) and of these conditions, as a network."""

    def __init__(self, function: Callable[..., Tensor], *conditions: str) -> None:
        super().__init__()
        self.function, self.conditions = function, conditions

    def forward(self, x: Tensor, time: Tensor, **condition: Tensor) -> Tensor:
        return self.function(x, time, **condition)


class ToyGaussian:
    """With these the exact denoiser is linear, and every reverse step of any length is exactly ReverseGaussian."""

    def __init__(self, *, mean: float, std: float, steps: int) -> None:
        self.mean, self.std = mean, std
        self.diffusion = GaussianDiffusion(
            steps=steps, schedule=Cosine(), prediction=Epsilon(), variance=Learned(), loss=VLB(), rescale_times=False
        )
        self.process = self.diffusion.process
        self.denoiser = self.diffusion.denoiser(self.network)

    def spread(self, level: Level) -> Tensor:
        """Var[x_t]."""
        return level.alpha**2 * self.std**2 + level.sigma**2

    def x_0(self, x: Tensor, level: Level) -> Tensor:
        """E[x_0 | x_t]."""
        gain = as_factor(level.alpha * self.std**2 / self.spread(level), x)
        return self.mean + gain * (x - as_factor(level.alpha, x) * self.mean)

    def variance(self, move: Move) -> Tensor:
        """Var[x_s | x_t], from the variance of x_s and the noise between the two."""
        here, there, before = move.here, move.there, self.spread(move.there)
        between = here.sigma**2 - (here.alpha / there.alpha) ** 2 * there.sigma**2
        return between * before / self.spread(here)

    def denoise(self, x: Tensor, level: Level) -> Denoised:
        """The exact denoiser on any path."""

        def gaussian(move: Move, x_0: Tensor) -> ReverseGaussian:
            variance = as_factor(self.variance(move), x).expand_as(x)
            return ReverseGaussian(move.mean(x, x_0), variance, variance.log())

        return Denoised(self.x_0(x, level), gaussian)

    def network(self, x: Tensor, time: Tensor) -> Tensor:
        """float64: the prediction and, for `Learned`, the exact reverse variance."""
        x, move = x.double(), self.process.move(time)
        log_variance = as_factor(self.variance(move).log(), x)
        return torch.cat([move.here.eps(x, self.x_0(x, move.here)), log_variance.expand_as(x)], dim=1)


def normal_nodes(count: int) -> tuple[Tensor, Tensor]:
    """Gauss and Hermite's points and weights (count,): f(z) of a standard normal z has the mean sum(weights * f)."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.from_numpy(points), torch.from_numpy(weights / weights.sum())
