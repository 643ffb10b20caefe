"""Pictures of what the network draws while it learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.data.images import Images
from diffusion.denoiser.gaussian import GaussianDiffusion
from diffusion.losses.schedule_samplers import ScheduleSampler
from diffusion.pictures.plots import plot_weights
from diffusion.samplers.draw import draw
from diffusion.samplers.sampler import Sampler
from diffusion.training.ema import with_weights
from diffusion.training.strip import Strip


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
        weights: dict[str, dict[str, Tensor]],
        diffusion: GaussianDiffusion,
        sampler: Sampler,
        images: Images,
        schedule_sampler: ScheduleSampler | None = None,
    ) -> Iterator[Picture]:
        """A grid of what `images` would have drawn from each of the named `weights`.

        Also a strip that shows how the first images of the last of them come out of the noise, and the weights of a
        schedule sampler over t unless they are all the same.
        """
        best = [*weights][-1]
        device = next(model.parameters()).device
        prompts, numbers = images.prompts(self.images), range(self.images)
        condition = prompts.condition(numbers, device)
        model.eval()
        for name, chosen in weights.items():
            watched = Strip(sampler)
            x = draw(
                watched if name == best else sampler, diffusion, with_weights(model, chosen), numbers,
                shape=images.shape, seed=self.seed, device=device, condition=condition,
            )  # fmt: skip
            yield Picture(name, prompts.picture(x))
            if watched.x_t:
                yield Picture(f"strip_{name}", watched.picture())
        if schedule_sampler is not None and not is_uniform(schedule_sampler):
            yield Picture("schedule_sampler", plot_weights(schedule_sampler.probabilities().tolist()))


def is_uniform(schedule_sampler: ScheduleSampler) -> bool:
    """True if every t is drawn equally often, as by a sampler that has too few losses yet."""
    weights = schedule_sampler.weights()
    return bool((weights == weights[0]).all())


def caption(step: int, name: str, sampler: Sampler) -> str:
    """What W&B shows below a picture: the step, the weights, the sampler."""
    if name == "schedule_sampler":
        return f"step {step}, how often each t is drawn"
    drawn = f"{type(sampler).__name__}, {'all' if sampler.steps is None else sampler.steps} steps"
    weights = name.removeprefix("strip_")
    shown = "" if weights == name else "; x_t from noise to image, below it the predicted x_0"
    return f"step {step}, {weights}, {drawn}{shown}"
