"""The way from images back to the noise that they come from, and between such noises."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level, as_factor
from diffusion.samplers.sampler import Sampler, require_no_noise


def latents(sampler: Sampler, denoise: Denoise, levels: Sequence[Level], x_0: Tensor) -> Tensor:
    """x at levels[0] from which the sampler draws the images x_0 (N, C, H, W), taken for the least noisy level.

    ValueError for a sampler with noise.
    """
    require_no_noise(sampler)
    up, x = [level for level in reversed(levels) if bool(level.sigma > 0)], x_0
    for step in sampler.walk(denoise, up, x_0, lambda: x_0):
        x = step.x
    return x


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """The points at these shares (N,) of the great circles from a to b, (N, C, ...) each (Shoemake 1985).

    Where a and b have one length all points have it, so that what lies between two noises is as long as noise; along a
    straight line it would be too short.
    """
    cosine = cosine_similarity(a.flatten(1).double(), b.flatten(1).double(), dim=1).clamp(-1, 1)
    angle, share = cosine.arccos(), share.to(cosine)
    straight = angle.sin() < 1e-6  # no circle, or no one circle, leads from one to the other
    parts = [torch.where(straight, u, (u * angle).sin() / angle.sin()) for u in (1 - share, share)]
    return as_factor(parts[0], a) * a + as_factor(parts[1], b) * b
