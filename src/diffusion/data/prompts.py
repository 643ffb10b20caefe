"""What a network is told of the images that it shall draw, and how to show what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diffusion.pictures.grid import grid

TILES = 12


class Prompts(NamedTuple):
    """Image i is told entry i of `labels` and of `low_res`, each from its beginning again when it ends.

    `low_res` (M, C, h, w) and, where they are known, `true` (M, C, H, W), the large images behind it, lie in [-1, 1].
    """

    labels: list[int] | None = None
    low_res: Tensor | None = None
    true: Tensor | None = None

    def at_most(self, count: int) -> int:
        """`count`, or the number of small images if there are fewer."""
        return count if self.low_res is None else min(count, len(self.low_res))

    def labels_of(self, numbers: Iterable[int]) -> list[int]:
        """The classes that the images of these numbers show."""
        labels = self.labels or []
        return [labels[number % len(labels)] for number in numbers]

    def condition(self, numbers: Iterable[int], device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """The network's conditions for the images of these numbers."""
        condition = {}
        if self.labels is not None:
            condition["y"] = torch.tensor(self.labels_of(numbers), device=device)
        if self.low_res is not None:
            condition["low_res"] = torch.stack([self.low_res[n % len(self.low_res)] for n in numbers]).to(device)
        return condition

    def picture(self, x: Tensor) -> np.ndarray:
        """The drawn images x (N, C, H, W), number 0 first, as one picture: uint8 (height, width, C).

        Enlarged images stand between the small and the true one; others in a column a class, or in a square.
        """
        x = x.cpu()
        if self.low_res is None:
            return grid(x, columns=self._columns(len(x)))
        given = [images for images in (self.low_res, self.true) if images is not None]
        shown = [images[torch.arange(len(x)) % len(images)] for images in given]
        shown.insert(1, x)
        tiles = torch.stack([interpolate(images, x.shape[2:], mode="nearest") for images in shown], dim=1)
        return grid(tiles.flatten(0, 1), columns=TILES - TILES % len(shown))

    def _columns(self, count: int) -> int:
        """A column a class, or several columns a class if there are few."""
        classes = len(self.labels or [])
        return classes * max(1, 10 // classes) if 0 < classes <= 16 else math.ceil(math.sqrt(count))
