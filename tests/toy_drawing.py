"""Drawings without a network: pixels of a normal distribution in closed form, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion import Chain, Cosine, Process, Sampler
from diffusion.compute.randomness import generator
from diffusion.denoiser.denoiser import Denoise, Denoised
from diffusion.process.level import Level
from diffusion.tasks.task import Drawing

CHAIN = Chain(Cosine().betas(1000))


def correlated(covariance: Tensor, mean: float = 0.0) -> Denoise:
    """E[x_0 | x_t] of images whose pixels (P,) have this covariance (P, P)."""
    one = torch.eye(len(covariance), dtype=torch.float64)

    def denoise(x: Tensor, level: Level) -> Denoised:
        alpha, sigma = level.alpha.item(), level.sigma.item()
        gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * one)
        x_0 = mean + (x.double().flatten(1) - alpha * mean) @ gain.T
        return Denoised(x_0.view_as(x), lambda move, x_0: None)

    return denoise


def drawing(
    sampler: Sampler, numbers: Sequence[int], shape: tuple[int, int, int], denoise: Denoise, *,
    process: Process = CHAIN, seed: int = 0, alike: bool = False,
) -> Drawing:  # fmt: skip
    """A drawing of these numbers; `alike`: all noise of one generator, which is faster."""

    def noise_of(numbers: Sequence[int]):
        if alike:
            one = generator(seed, "alike")
            return lambda: torch.randn(len(numbers), *shape, generator=one, dtype=torch.float64)
        each = [generator(seed, number) for number in numbers]
        return lambda: torch.stack([torch.randn(shape, generator=g, dtype=torch.float64) for g in each])

    return Drawing(numbers, sampler, process, lambda rows: denoise, noise_of, shape, torch.device("cpu"))
