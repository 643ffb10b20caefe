"""Data whose diffusion is known in closed form: independent pixels, each N(mean, std^2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffusion import VLB, Cosine, Epsilon, GaussianDiffusion, Learned


class ToyGaussian:
    """With these the exact denoiser is linear, and every reverse step of any length is exactly Gaussian."""

    def __init__(self, *, mean: float, std: float, steps: int) -> None:
        self.mean, self.std = mean, std
        self.diffusion = GaussianDiffusion(
            steps=steps, schedule=Cosine(), prediction=Epsilon(), variance=Learned(), loss=VLB(), rescale_times=False
        )
        self.alpha_bar = self.diffusion.process.alpha_bar.values

    def denoised(self, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        """E[x_0 | x_t]."""
        gain = alpha_bar.sqrt() * self.std**2 / (alpha_bar * self.std**2 + 1 - alpha_bar)
        return self.mean + gain * (x_t - alpha_bar.sqrt() * self.mean)

    def eps(self, x_t: Tensor, time: Tensor) -> Tensor:
        """E[eps | x_t]: what a perfect network predicts."""
        alpha_bar = self.alpha_bar[time].view(-1, 1, 1, 1)
        return (x_t - alpha_bar.sqrt() * self.denoised(x_t, alpha_bar)) / (1 - alpha_bar).sqrt()

    def log_variance(self, time: Tensor) -> Tensor:
        """log Var[x_{t-1} | x_t], from the variance of x_{t-1} and the noise between the two."""
        before = torch.cat([self.alpha_bar.new_ones(1), self.alpha_bar[:-1]])
        beta, spread = 1 - self.alpha_bar / before, before * self.std**2 + 1 - before
        return (beta * spread / ((1 - beta) * spread + beta)).log()[time].view(-1, 1, 1, 1)

    def network(self, x_t: Tensor, time: Tensor) -> Tensor:
        """float64: the prediction and, for `Learned`, the exact reverse variance."""
        x_t = x_t.double()
        return torch.cat([self.eps(x_t, time), self.log_variance(time).expand_as(x_t)], dim=1)


def normal_nodes(count: int) -> tuple[Tensor, Tensor]:
    """Gauss and Hermite's points and weights (count,): f(z) of a standard normal z has the mean sum(weights * f)."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.from_numpy(points), torch.from_numpy(weights / weights.sum())
