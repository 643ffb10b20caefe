"""How images come out of the noise: a sampler's x_t and predicted x_0 at evenly spaced moments."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffusion.denoiser.gaussian import GaussianDiffusion, Transform
from diffusion.pictures.grid import grid
from diffusion.samplers.sampler import Guidance, Noise, Sampler, Step

IMAGES = 4
MOMENTS = 10


class Strip(Sampler):
    """A sampler that draws what `sampler` draws and remembers how its first images came about.

    It remembers x_t, and the x_0 that the network sees in it, at up to 10 moments from noise to image.
    """

    def __init__(self, sampler: Sampler) -> None:
        super().__init__(steps=sampler.steps, clip=sampler.clip)
        self.sampler = sampler
        self.x_t: list[Tensor] = []
        self.x_0: list[Tensor] = []

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
        """The sampler's own step."""
        step = self.sampler.step(diffusion, output, x_t, t, noise, guidance=guidance, transform=transform)
        steps, left = len(diffusion.process), int(t[0]) + 1
        if steps - left in moments(steps):
            self.remember(x_t, step.x_0)
        if left == 1:
            self.remember(step.x_t, step.x_t)
        return step

    def remember(self, x_t: Tensor, x_0: Tensor) -> None:
        self.x_t.append(x_t[:IMAGES].cpu())
        self.x_0.append(x_0[:IMAGES].cpu())

    def picture(self) -> np.ndarray:
        """Two rows an image, x_t and below it the predicted x_0, from noise to image: uint8 (height, width, C)."""
        rows = torch.stack([torch.stack(self.x_t, dim=1), torch.stack(self.x_0, dim=1)], dim=1)
        return grid(rows.flatten(0, 2), columns=len(self.x_t))


def moments(steps: int) -> list[int]:
    """After how many of `steps` steps to look: evenly spaced from none to all."""
    count = min(MOMENTS, steps + 1)
    return [round(i * steps / (count - 1)) for i in range(count)]
