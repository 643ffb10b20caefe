"""The mean and variance of what each sampler with noise draws of Gaussian data: exactly, not by chance."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from proofs.cases import STOCHASTIC, laid_out, slope
from proofs.mixture import ONE
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level
from diffusion.samplers.sampler import Sampler


def moments(
    sampler: Sampler, denoise: Denoise, levels: list[Level], mean: Tensor, std: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance at the end of a walk from N(mean, std^2), where every step is affine in x and noise.

    Row 0 hears no noise, row 1 that of x_T alone, row k + 2 the k-th alone: variances add up.
    """
    count = len(levels) + 1

    def alone() -> Iterator[Tensor]:
        for k in range(2, count + 1):
            one = torch.zeros(count, 1, dtype=torch.float64)
            one[k % count] = k < count
            yield one

    noise, x = alone(), torch.zeros(count, 1, dtype=torch.float64) + mean
    x[1] += std.item()
    *_, end = sampler.walk(denoise, levels, x, lambda: next(noise))
    return end.x[0], (end.x[1:] - end.x[0]).square().sum(0)


def distance(process: str, sampler: str, steps: int) -> float:
    """Of the variance at log-SNR 6 from that of the data there, as a share of it; begun at the exact one at -6."""
    _, own, levels = laid_out(process, STOCHASTIC[sampler].sampler, steps)
    levels = levels[:-1]
    first, last = levels[0], levels[-1]
    _, variance = moments(own, ONE.denoise, levels, ONE.means * first.alpha, ONE.spread(first)[0])
    wanted = ONE.spread(last)[0] ** 2
    return (variance / wanted - 1).abs().item()


def figures(process: str, sampler: str) -> tuple[float, float]:
    """(order, distance) at 256 steps."""
    errors = [distance(process, sampler, steps) for steps in (128, 256)]
    return slope(*errors), errors[1]
