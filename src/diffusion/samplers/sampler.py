"""What every sampler is: a loop over levels, from noise to an image, that yields each of its steps."""

import inspect
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise, Denoised
from diffusion.process.level import Level, Move, as_factor
from diffusion.process.process import Process
from diffusion.samplers.spacing import EvenSpacing, Spacing

Noise = Callable[[], Tensor]


class Step(NamedTuple):
    """The image after a step, and the x_0 that was expected in it; each (N, C, ...)."""

    x: Tensor
    x_0: Tensor


class Sampler(ABC):
    """Draws images in `steps` steps, which `spacing` chooses (default: `EvenSpacing`).

    `clip` keeps every expected x_0 in [-1, 1].
    """

    def __init__(self, *, steps: int | str | None = None, spacing: Spacing | None = None, clip: bool = True) -> None:
        self.steps, self.spacing, self.clip = steps, spacing or EvenSpacing(), clip

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments as they are kept under their own names, in plain values."""
        kept = {name: vars(self)[name] for name in inspect.signature(type(self)).parameters if name in vars(self)}
        return {name: value.name if isinstance(value, Spacing) else value for name, value in kept.items()}

    def levels(self, process: Process) -> list[Level]:
        """The levels that this sampler walks through, from noise to the image. ValueError if it cannot."""
        levels = process.walk(self.spacing.t(process, self.steps))
        levels = levels if self.spacing.to_image else levels[:-1]
        if not all(here.log_snr <= there.log_snr for here, there in pairwise(levels)):
            raise ValueError(f"{type(self.spacing).__name__} names levels that do not lead from noise to the image")
        return levels

    @property
    def draws_noise(self) -> bool:
        """Whether there is noise after x_T, so that no path leads back from an image."""
        return True

    @torch.no_grad()
    def encode(self, denoise: Denoise, process: Process, x_0: Tensor) -> Iterator[Step]:
        """Every step from images x_0 in [-1, 1], taken for the least noisy level, to the x_T that they come from.

        ValueError for a sampler with noise.
        """
        require_no_noise(self)
        up = [*reversed(self.levels(process)[:-1]), process.pure_noise()]
        yield from self.walk(denoise, up, x_0, lambda: x_0)

    @abstractmethod
    def walk(self, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
        """Every step from x at levels[0] down to levels[-1]; `noise()` gives the next standard normal (N, C, ...)."""


def require_no_noise(sampler: Sampler) -> None:
    """Raise ValueError for a sampler with noise, whose way cannot be walked back."""
    if sampler.draws_noise:
        eta = f", eta is {sampler.eta}; set sampler.eta=0" if hasattr(sampler, "eta") else "; set sampler=ddim"
        raise ValueError(f"only the path without noise can be walked back{eta}")


def require_eta(eta: float) -> float:
    """`eta`, the share of the ancestral noise; ValueError unless it is one."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta lies between 0 (deterministic) and 1, got {eta}; set sampler.eta")
    return eta


def require_order(order: int, highest: int) -> int:
    """`order`, where a sampler has it; ValueError otherwise."""
    if order not in range(1, highest + 1):
        known = " and ".join([", ".join(map(str, range(1, highest))), str(highest)])
        raise ValueError(f"order={order} is unknown to this sampler, which has {known}; set sampler.order={highest}")
    return order


def moved(move: Move, x: Tensor, said: Denoised, x_0: Tensor, *, eta: float = 0.0) -> tuple[Tensor, Tensor]:
    """The mean of x_s, up or down, if the image in x_t were x_0, and the standard deviation of its noise, (1,).

    Of a level that is the image itself, `said` tells the noise.
    """
    if not bool((move.here.sigma > 0).all()):
        if said.eps is None:
            raise ValueError("this denoiser says nothing of the noise in an image; begin at a level with some")
        return move.there.x(x_0, said.eps()), torch.zeros_like(move.there.sigma)
    coefficients = move.coefficients(eta)
    return coefficients.mean(x, x_0), coefficients.std


@torch.no_grad()
def trajectory(sampler: Sampler, process: Process, denoise: Denoise, noise: Noise) -> Iterator[Step]:
    """Every step of a sampler from x_T, the first of `noise`, down to an image."""
    levels = sampler.levels(process)
    x = noise()
    yield from descent(sampler, denoise, levels, as_factor(levels[0].std, x) * x, noise)


@torch.no_grad()
def descent(sampler: Sampler, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
    """Every step of a sampler from x at levels[0] down to levels[-1]."""
    for step in sampler.walk(denoise, levels, x, noise) or ():
        if not isinstance(step, Step):
            raise ValueError(
                f"{type(sampler).__name__} yields a {type(step).__name__}; its walk must yield Step(x, x_0)"
            )
        yield step


def draw(steps: Iterator[Step]) -> Tensor:
    """The images (N, C, ...) at the end of the steps of a `trajectory`. ValueError if there are none."""
    last = deque(steps, maxlen=1)
    if not last:
        raise ValueError("the sampler yields no step; its walk must yield Step(x, x_0) after each one")
    return last[0].x
