"""Data on a line whose denoiser, density and transport are known exactly at every level of every process."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoised, ReverseGaussian
from diffusion.process.level import Level, Move, as_factor


def float64(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


class Mixture:
    """sum_k weight_k N(mean_k, std_k^2); images are (N, 1) in float64."""

    def __init__(self, weights: Sequence[float], means: Sequence[float], stds: Sequence[float]) -> None:
        self.weights, self.means, self.stds = float64(*weights), float64(*means), float64(*stds)

    def spread(self, level: Level) -> Tensor:
        """The standard deviation of each component of x_t, (N, K) or (1, K)."""
        alpha, sigma = level.alpha[:, None], level.sigma[:, None]
        return (alpha**2 * self.stds**2 + sigma**2).sqrt()

    def log_parts(self, x: Tensor, level: Level) -> Tensor:
        """log(weight_k p_k(x_t)), (N, K)."""
        spread = self.spread(level)
        z = (x - level.alpha[:, None] * self.means) / spread
        return self.weights.log() - z**2 / 2 - spread.log() - math.log(2 * math.pi) / 2

    def log_p(self, x: Tensor, level: Level) -> Tensor:
        """log p(x_t), (N,)."""
        return self.log_parts(x, level).logsumexp(1)

    def x_0(self, x: Tensor, level: Level) -> Tensor:
        """E[x_0 | x_t]."""
        alpha = level.alpha[:, None]
        each = self.means + alpha * self.stds**2 / self.spread(level) ** 2 * (x - alpha * self.means)
        return (self.log_parts(x, level).softmax(1) * each).sum(1, keepdim=True)

    def denoise(self, x: Tensor, level: Level) -> Denoised:
        """The exact denoiser, with the variance of q(x_s | x_t, x_0): beta tilde."""

        def small(move: Move, x_0: Tensor) -> ReverseGaussian:
            variance = as_factor(move.arriving(move.variance), x).expand_as(x)
            return ReverseGaussian(move.mean(x, x_0), variance, variance.log())

        x_0 = self.x_0(x, level)
        return Denoised(x_0, small, lambda: level.eps(x, x_0))

    def cdf(self, x: Tensor, level: Level) -> Tensor:
        z = (x - level.alpha[:, None] * self.means) / self.spread(level)
        return (self.weights * torch.special.ndtr(z)).sum(1, keepdim=True)

    def transport(self, x: Tensor, here: Level, there: Level) -> Tensor:
        """Where the probability flow takes x: on a line it keeps the order of points, so to the same quantile."""
        place, low, high = self.cdf(x, here), torch.full_like(x, -500), torch.full_like(x, 500)
        for _ in range(80):
            middle = (low + high) / 2
            below = self.cdf(middle, there) < place
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2


TWO = Mixture([0.4, 0.6], [-0.7, 0.5], [0.2, 0.3])
ONE = Mixture([1.0], [0.6], [0.3])
LINE = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
