"""What a network is told of the images that it shall draw, and how to show what came of it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diffusion.data.conditions import Conditions, arguments, available
from diffusion.data.images import Images
from diffusion.pictures.grid import grid
from diffusion.pictures.lettering import legible
from diffusion.pictures.pixels import from_uint8
from diffusion.tasks.task import drawn_as

TILES = 12


class Prompts(NamedTuple):
    """Image i is told row i of each argument of the network, which begins again when it ends.

    The arguments called in `shown` are images (M, C, h, w), and `true` (M, C, H, W) what should come of them, where it
    is known; all in [-1, 1]. `classes` are the names of those that the argument y numbers.
    """

    arguments: Mapping[str, Tensor] = MappingProxyType({})
    shown: tuple[str, ...] = ()
    true: Tensor | None = None
    classes: Sequence[str] | None = None

    def at_most(self, count: int) -> int:
        """`count`, or the number of images that it was made of if they are fewer."""
        known = [*(self.arguments[name] for name in self.shown), *([] if self.true is None else [self.true])]
        return min([count, *map(len, known)])

    def condition(self, numbers: Iterable[int], device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """The network's arguments for the images of these numbers."""
        where = torch.tensor(list(numbers), dtype=torch.long)
        return {name: rows[where % len(rows)].to(device) for name, rows in self.arguments.items()}

    def picture(self, x: Tensor, rows: Sequence[int] | None = None) -> np.ndarray:
        """The drawn images x (N, C, H, W), told these `rows`, 0 .. N - 1 by default, as one picture:
        uint8 (height, width, C).

        Those told an image stand between it and the true one; others in a column a class, or in a square.
        """
        rows = range(len(x)) if rows is None else rows
        x, labels = x.cpu(), self.labels(rows)
        if not self.shown:
            classes = len(self.arguments.get("y", ()))
            square = math.ceil(math.sqrt(len(x)))
            columns = classes * max(1, 10 // classes) if 0 < classes <= 16 else square
            return grid(x, columns=columns, labels=labels)
        told = self.condition(rows)
        true = [] if self.true is None else [self.true[torch.tensor(rows) % len(self.true)]]
        row = [*(told[name] for name in self.shown), x, *true]
        tiles = torch.stack([interpolate(images, x.shape[2:], mode="nearest") for images in row], dim=1)
        words = [word for label in labels for word in (*self.shown, drawn_as(label), *["true"] * len(true))]
        return grid(tiles.flatten(0, 1), columns=TILES - TILES % len(row), labels=words)

    def labels(self, numbers: Sequence[int]) -> list[str]:
        """What the images of these numbers are to be, in words: the class, and what else is a number."""
        told = self._replace(arguments={name: rows for name, rows in self.arguments.items() if rows.ndim == 1})
        parts = [
            [self.class_name(int(y)) if name == "y" else f"{name} {y:.3g}" for y in rows.tolist()]
            for name, rows in told.condition(numbers).items()
        ]
        return [", ".join(filter(None, part)) for part in zip(*parts, strict=True)] or [""] * len(numbers)

    def class_name(self, y: int) -> str:
        """What people call class number y, by its number where no font has the letters; "" for none."""
        name = "" if self.classes is None or not 0 <= y < len(self.classes) else self.classes[y]
        return name if name and legible(name) else f"class {y}" if y >= 0 else ""


def prompts_from(
    conditions: Conditions,
    images: Images,
    count: int,
    *,
    classes: Sequence[str] | None,
    numbered: Callable[[Tensor], Tensor] = lambda labels: labels,
) -> Prompts:
    """What to ask of a network with these conditions, to see `count` images.

    Where all of them can be asked for without an image, as classes can, each in turn; else what is told of the first
    `count` of `images`, which stand beside what is drawn. `classes` are those that the network knows, and `numbered`
    turns labels of the images into its numbers.
    """
    conditions = available(conditions, classes)
    in_turn = rows_in_turn(conditions, classes)
    if len(in_turn) == len(conditions):
        return Prompts(in_turn, classes=classes)
    pixels, labels = images.read(range(min(count, len(images))))
    true = from_uint8(pixels)
    told = arguments(conditions, true, numbered(labels))
    return Prompts(told, shown=image_names(conditions, images.shape), true=true, classes=classes)


def rows_in_turn(conditions: Conditions, classes: Sequence[str] | None) -> dict[str, Tensor]:
    """What can be asked for without an image, each in turn, by the names of the network's arguments."""
    number = None if classes is None else len(classes)
    told = {name: condition.in_turn(number) for name, condition in available(conditions, classes).items()}
    return {name: rows for name, rows in told.items() if rows is not None}


def by_label(labels: list[int] | None) -> dict[str, Tensor]:
    """The network's argument for these classes in turn; nothing where no class can be asked for."""
    return {} if labels is None else {"y": torch.tensor(labels)}


def needing_images(conditions: Conditions) -> list[str]:
    """The names of those that take an image to tell."""
    return [name for name, condition in conditions.items() if condition.in_turn(1) is None]


def image_names(conditions: Conditions, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """The names of those that are images themselves, told of images of `shape` (C, H, W)."""
    return tuple(name for name, condition in conditions.items() if condition.image_shape(shape) is not None)
