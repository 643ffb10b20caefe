"""The loop that every sampler shares: from noise, or from an image, one step at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.denoiser.gaussian import GaussianDiffusion, Transform
from diffusion.process.chain import ForwardProcess
from diffusion.samplers.spacing import kept_steps

Network = Callable[..., Tensor]
Noise = Callable[[], Tensor]
Guidance = Callable[[Tensor, Tensor], Tensor]


class Step(NamedTuple):
    """The image after a step, and the x_0 that the network saw in the one before; each (N, C, ...)."""

    x_t: Tensor
    x_0: Tensor


class Sampler(ABC):
    """Draws images by walking a diffusion backwards through `steps` of its steps (see `kept_steps`).

    `clip` keeps every predicted x_0 in [-1, 1].
    """

    def __init__(self, *, steps: int | str | None = None, clip: bool = True) -> None:
        self.steps = steps
        self.clip = clip

    @abstractmethod
    def step(
        self,
        diffusion: GaussianDiffusion,
        output: Tensor,
        x_t: Tensor,
        t: Tensor,
        noise: Noise,
        *,
        guidance: Guidance | None = None,
        transform: Transform | None = None,
    ) -> Step:
        """One step from x_t, where t (N,) is the same for all; noise is asked for only if the step needs any."""

    def spaced(self, diffusion: GaussianDiffusion) -> GaussianDiffusion:
        """The diffusion at the steps that this sampler takes. ValueError if it cannot take them."""
        return diffusion.respace(kept_steps(len(diffusion.process), self.steps))

    @torch.no_grad()
    def progressive(
        self,
        diffusion: GaussianDiffusion,
        network: Network,
        noise: Noise,
        *,
        condition: Mapping[str, Tensor] | None = None,
        guidance: Guidance | None = None,
        transform: Transform | None = None,
    ) -> Iterator[Step]:
        """Every step from x_T, the first of `noise`, down to an image.

        `noise()` gives the next standard normal (N, C, ...); `guidance(x_t, time)` the gradient of a log probability
        in x_t, of its shape; `transform` changes each predicted x_0 before it is clipped.
        """
        diffusion = self.spaced(diffusion)
        x_t = noise()
        time_of = times_for(network, diffusion.process, x_t)
        for i in reversed(range(len(diffusion.process))):
            t = torch.full((len(x_t),), i, device=x_t.device)
            output = network(x_t, time_of(i), **(condition or {})).float()
            step = self.step(diffusion, output, x_t, t, noise, guidance=guidance, transform=transform)
            yield step
            x_t = step.x_t

    def sample(self, diffusion: GaussianDiffusion, network: Network, noise: Noise, **options) -> Tensor:
        """The images (N, C, ...) at the end of `progressive`, which names the options."""
        for step in self.progressive(diffusion, network, noise, **options):
            last = step
        return last.x_t


def times_for(network: Network, process: ForwardProcess, like: Tensor) -> Callable[[int], Tensor]:
    """t -> what the network is told there of all images (N, C, ...): the time of each, or of all, embedded before."""
    times = process.times.to(like.device)
    if not hasattr(network, "embed_times"):
        return lambda t: times[t].expand(len(like))
    rows = network.embed_times(times)
    return lambda t: rows[t : t + 1]
