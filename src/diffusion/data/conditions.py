"""What a network is told of an image beside the time: one condition is one argument of the network.

A condition is computed from the images that training shows anyway, so a set of images need not know of it. The
configuration's `conditions` maps the name of the network's argument to its condition: {"y": Label(), ...}.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate


class Condition(ABC):
    """One argument of a network, given by the images and their labels."""

    needs_classes: ClassVar[bool] = False
    """Whether it has nothing to tell of images without classes."""

    @abstractmethod
    def __call__(self, x_0: Tensor, labels: Tensor) -> Tensor:
        """The argument (N, ...) for images x_0 (N, C, H, W) in [-1, 1] of classes `labels`, int64 (N,)."""

    def image_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int] | None:
        """(C, h, w) of what is told of images of `shape` (C, H, W), if it is an image in [-1, 1]; else None."""
        return None

    def in_turn(self, num_classes: int | None) -> Tensor | None:
        """The arguments (M, ...) to ask for one after the other; None if it takes an image to tell one."""
        return None

    def change(self, x_0: Tensor, chances: Sequence[torch.Generator]) -> tuple[Tensor, Tensor] | None:
        """Images (N, C, H, W) changed for training, by a generator each, and what is told of the changes (N, ...).

        None, as here, for conditions that leave images as they are.
        """
        return None

    def blank(self, num_classes: int | None) -> Tensor | None:
        """What is told instead of nothing, (1, ...), where `train.label_dropout` leaves it out; None: it never is."""
        return None


class Label(Condition):
    """The class of each image, int64 (N,)."""

    needs_classes = True

    def __call__(self, x_0: Tensor, labels: Tensor) -> Tensor:
        return labels

    def in_turn(self, num_classes: int | None) -> Tensor:
        """Every class."""
        return torch.arange(num_classes or 0)

    def blank(self, num_classes: int | None) -> Tensor:
        """One number more than there are classes."""
        return torch.tensor([num_classes or 0])


class SmallImage(Condition):
    """Each image shrunk until its shorter side is `size`: the network learns to draw the details (super-resolution)."""

    def __init__(self, *, size: int) -> None:
        self.size = size

    def __call__(self, x_0: Tensor, labels: Tensor) -> Tensor:
        """Each pixel is the mean of the area it stands for."""
        return interpolate(x_0, self.image_shape(tuple(x_0.shape[1:]))[1:], mode="area")

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """(C, h, w): images of `shape` (C, H, W) in their proportions, the shorter side being `size`."""
        channels, height, width = shape
        size, short = self.size, min(height, width)
        if not 0 < size < short:
            raise ValueError(
                f"a small image of {size} pixels does not shrink images of {height}x{width}; "
                f"set conditions.low_res.size from 1 to {short - 1}"
            )
        if (height * size) % short or (width * size) % short:
            raise ValueError(
                f"images of {height}x{width} keep no whole sides when the shorter one is shrunk to {size}; "
                f"set conditions.low_res.size={max(short // 2, 1)}, or give square images"
            )
        return channels, height * size // short, width * size // short


Conditions = Mapping[str, Condition]
"""The conditions of a network by the names of its arguments."""
BY_LABEL: Conditions = MappingProxyType({"y": Label()})


def available(conditions: Conditions, classes: object) -> dict[str, Condition]:
    """Those that have something to tell of images with these classes; None: without any."""
    return {name: told for name, told in conditions.items() if classes is not None or not told.needs_classes}


def blanks(conditions: Conditions, classes: Sequence[str] | None) -> dict[str, Tensor]:
    """What is told instead of what can be left out, (1, ...), by the names of the network's arguments."""
    number = None if classes is None else len(classes)
    told = {name: condition.blank(number) for name, condition in available(conditions, classes).items()}
    return {name: blank for name, blank in told.items() if blank is not None}


def arguments(conditions: Conditions, x_0: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What the network is told of images x_0 (N, C, H, W) and their labels (N,), by the names of its arguments."""
    return {name: condition(x_0, labels) for name, condition in conditions.items()}
