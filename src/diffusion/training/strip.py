"""How images come out of the noise: a sampler's x_t and predicted x_0 at evenly spaced moments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from diffusion.pictures.grid import grid
from diffusion.samplers.sampler import Step

IMAGES = 4
MOMENTS = 10


class Strip:
    """Watches the steps of a sampler, `total` in number, and keeps those at up to 10 moments from noise to image."""

    def __init__(self, total: int) -> None:
        count = min(MOMENTS, total)
        self.moments = {round(i * (total - 1) / max(count - 1, 1)) for i in range(count)}
        self.steps: list[Step] = []

    def watch(self, steps: Iterator[Step]) -> Iterator[Step]:
        for number, step in enumerate(steps):
            if number in self.moments:
                self.steps.append(Step(*(images[:IMAGES].cpu() for images in step)))
            yield step

    def picture(self) -> np.ndarray:
        """Two rows an image, x_t and below it the expected x_0, from noise to image: uint8 (height, width, C)."""
        moments = [torch.stack(step, dim=1) for step in self.steps]
        return grid(torch.stack(moments, dim=2).flatten(0, 2), columns=len(moments))
