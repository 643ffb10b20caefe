"""Images by number: each a function of the seed and its own number, whatever batch it is drawn in."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from diffusion.compute.randomness import generator, normal
from diffusion.denoiser.gaussian import GaussianDiffusion
from diffusion.samplers.sampler import Network, Sampler


def draw(
    sampler: Sampler,
    diffusion: GaussianDiffusion,
    network: Network,
    numbers: Iterable[int],
    *,
    shape: tuple[int, ...],
    seed: int,
    device: torch.device | str = "cpu",
    **options,
) -> Tensor:
    """Images number `numbers` of `seed`, (N, *shape) near [-1, 1]; `Sampler.progressive` names the options."""
    generators = [generator(seed, "sample", number, device=device) for number in numbers]
    return sampler.sample(diffusion, network, lambda: normal(generators, shape), **options)
