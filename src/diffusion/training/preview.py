"""Pictures of what the network draws while it learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from diffusion.data import Images
from diffusion.gaussian import GaussianDiffusion
from diffusion.samplers import Sampler, draw
from diffusion.training.ema import EMA, with_weights


class Picture(NamedTuple):
    """A grid (H, W, C) uint8 and what it shows, such as "ema_0.9999"."""

    name: str
    grid: np.ndarray


class Preview:
    """Draws the same `images` images, from the same noise, every `every` steps (0: never).

    A run that came so far draws them at its end too; a shorter one is a trial, and pictures would take longer than it.
    """

    def __init__(self, *, every: int = 10_000, images: int = 64, seed: int = 0) -> None:
        if every < 0:
            raise ValueError(f"train.preview.every={every} must be 0 or more; 0 draws none")
        if images < 1:
            raise ValueError(f"train.preview.images={images} must be at least 1; train.preview.every=0 draws none")
        self.every, self.images, self.seed = every, images, seed

    def due(self, step: int, last: bool) -> bool:
        return self.every > 0 and (step % self.every == 0 or (last and step > self.every))

    def pictures(
        self,
        model: torch.nn.Module,
        ema: EMA,
        diffusion: GaussianDiffusion,
        sampler: Sampler,
        images: Images,
    ) -> Iterator[Picture]:
        """One grid from the weights themselves and one from each average, of what `images` would have drawn."""
        weights = {"raw": {name: weight.detach() for name, weight in model.named_parameters()}}
        weights |= {f"ema_{rate}": average for rate, average in ema.state_dict().items()}
        device = next(model.parameters()).device
        prompts, numbers = images.prompts(self.images), range(self.images)
        condition = prompts.condition(numbers, device)
        model.eval()
        for name, chosen in weights.items():
            x = draw(
                sampler, diffusion, with_weights(model, chosen), numbers,
                shape=images.shape, seed=self.seed, device=device, condition=condition,
            )  # fmt: skip
            yield Picture(name, prompts.picture(x))
