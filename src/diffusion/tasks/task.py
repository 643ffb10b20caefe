"""What every task is: a way to the images of some numbers, whatever draws them."""

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level
from diffusion.process.process import Process
from diffusion.runs.naming import slugify
from diffusion.samplers.sampler import Noise, Sampler, Step


class Drawing(NamedTuple):
    """The images of these numbers, of `shape` (C, H, W), and all that draws them on `device`.

    `denoise_of(rows)` is the denoiser of N images, guided and clipped, told those rows of what was asked for.
    `noise_of(numbers)` begins the noise of these images anew: each call of what it gives is the next standard normal
    (N, C, H, W).
    """

    numbers: Sequence[int]
    sampler: Sampler
    process: Process
    denoise_of: Callable[[Sequence[int]], Denoise]
    noise_of: Callable[[Sequence[int]], Noise]
    shape: tuple[int, int, int]
    device: torch.device

    @property
    def levels(self) -> list[Level]:
        """Those that the sampler walks through, from noise to the image."""
        return self.sampler.levels(self.process)


def drawn_as(label: str) -> str:
    """What stands above a drawn image among others that are not, "" being no label."""
    return f"drawn, {label}" if label else "drawn"


class Task(ABC):
    """What is drawn. An image must be a function of the seed and of its own number, whatever batch it is drawn in.

    A task of one's own is a subclass with its own arguments, kept as attributes of the same names.
    """

    enlarges: ClassVar[bool] = False
    """Whether it suits a model that is told an image, which it enlarges."""

    @property
    def name(self) -> str:
        """A part of a folder's name: its kind, and each setting that is not its constructor's default."""
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        usual = inspect.signature(type(self)).parameters
        given = {key: vars(self)[key] for key in usual if key in vars(self)}
        changed = [f"{key}-{slugify(value)}" for key, value in given.items() if value is not usual[key].default]
        return "_".join([kind, *changed])

    def check(self, sampler: Sampler, process: Process, shape: tuple[int, int, int]) -> None:
        """Raise ValueError if it cannot be done with that sampler, or for images of `shape` (C, H, W)."""

    def total(self, asked: int, shape: tuple[int, int, int]) -> int:
        """How many images there are to draw where `asked` are asked for."""
        return asked

    def row(self, number: int) -> int:
        """Which row of what is asked for, such as classes in turn, the network is told for the image of a number."""
        return number

    def labels(self, shape: tuple[int, int, int]) -> tuple[str, list[int] | None] | None:
        """Where the given images are from and the class of each, if it came along; None where none are given."""
        return None

    def num_steps(self, sampler: Sampler, process: Process) -> int:
        """How many steps there are, by which what is drawn says how long it takes."""
        return len(sampler.levels(process)) - 1

    @abstractmethod
    def steps(self, drawing: Drawing) -> Iterator[Step]:
        """Every step of drawing the images of `drawing.numbers`; the last one holds them."""

    def picture(self, x: Tensor, labels: Sequence[str]) -> np.ndarray | None:
        """The drawn images x (N, C, H, W), number 0 first, beside what they were made of: uint8 (height, width, C).

        `labels` (N,) say in words what each was asked to be, "" for nothing. None where the images are shown as what
        plain drawing gives.
        """
        return None
