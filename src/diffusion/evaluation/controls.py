"""Images of which it is known what a measure must say: real ones that were kept apart, and pure noise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.compute.randomness import generator
from diffusion.evaluation.measures import Value, format_values, metric_names
from diffusion.pictures.pixels import to_uint8

MOST_NOISE = 0.1
"""The greatest precision of pure noise, which should have none, beside which that of drawn ones says something."""
FAINTEST, STRONGEST = 0.25, 4.0


class Control(NamedTuple):
    """What the measures say of `num_images`, "real" or "noise", in place of drawn ones; `title` says which."""

    kind: str
    num_images: int
    title: str
    found: dict[str, Value]

    @property
    def text(self) -> str:
        return f"{self.num_images} {self.title} in place of drawn ones: {format_values(self.found)}"

    def numbers(self, what: str) -> dict[str, float]:
        """The values by the full names of those of drawn images, which they stand beside."""
        return {f"{self.kind}_{name}": value for name, value in metric_names(self.found, what).items()}


def pure_noise(shape: Sequence[int], count: int) -> Tensor:
    """Images uint8 (count, C, H, W) of normal noise, from faint to so strong that most levels are black or white.

    A network takes noise of one contrast for an image and not that of another, and a model that has learned nothing
    draws whatever contrast it happens to.
    """
    noise = torch.randn(count, *shape, generator=generator("pure noise"))
    contrast = torch.logspace(math.log10(FAINTEST), math.log10(STRONGEST), count).view(-1, 1, 1, 1)
    return to_uint8(contrast * noise)


def check_noise(noise: Control, metrics: Sequence[str], *, features: str) -> None:
    """Raise ValueError if these features take noise for real images, and precision is among the metrics.

    That is so where the balls around real images hold nearly everything: they are wide around outliers, and a network
    that sees little in noise puts all of it in one place, which one ball may hold.
    """
    value = noise.found.get("precision", Value(0.0))
    if value.mean > MOST_NOISE:
        left = ",".join(name for name in metrics if name != "precision")
        without = f"leave it out, 'evaluation.metrics=[{left}]', or " if left else ""
        raise ValueError(
            f"by {features} features {noise.num_images} {noise.title} have a precision of {value}, so that of drawn "
            f"ones would say nothing; {without}take other evaluation/features"
        )
