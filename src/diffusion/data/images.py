"""What a set of images is to the rest of the program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from diffusion.data.prompts import Prompts

UNLABELLED = -1


class LabelledPixels(NamedTuple):
    """Images and their classes, as they are stored."""

    pixels: Tensor
    """uint8 (N, C, H, W)"""
    labels: Tensor
    """int64 (N,): positions in `Images.classes`, or -1 throughout when there are none"""


class Images(Dataset[tuple[Tensor, int]]):
    """A fixed number of images of one shape: `images[i]` is a uint8 (C, H, W) and its label, -1 when unconditional."""

    shape: tuple[int, int, int]
    """(C, H, W)"""
    classes: tuple[str, ...] | None
    """The names of the labels 0, 1, ...; None for an unconditional set."""
    flip: bool
    """Whether half of the images, drawn by chance, are shown to the network as in a mirror."""
    workers: int = 0
    """How many processes read the images; 0 when they are in memory."""
    low_res_size: int | None = None
    """The shorter side of the small images that the network is shown too; None when it is shown none."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        raise NotImplementedError

    def prepare(self) -> None:
        """Whatever makes reading them all, over and over, faster; it may take minutes, the first time."""

    def read(self, indices: Sequence[int]) -> LabelledPixels:
        """The images at `indices`, in that order."""
        pixels, labels = zip(*(self[index] for index in indices), strict=True)
        return LabelledPixels(torch.stack(pixels), torch.tensor(labels))

    def condition(self, x_0: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What the network is told of images x_0 (N, C, H, W) in [-1, 1] and their labels (N,), beside the time."""
        return {} if self.classes is None else {"y": labels}

    def prompts(self, count: int) -> Prompts:
        """What to ask of a network that learned from these images, to see `count` of its own: each class in turn."""
        return Prompts(None if self.classes is None else list(range(len(self.classes))))


class Resident(Images):
    """Images held in memory as one uint8 tensor (N, C, H, W): a batch is one indexing operation."""

    def __init__(self, pixels: Tensor, labels: Tensor, *, classes: tuple[str, ...] | None, flip: bool) -> None:
        _, channels, height, width = pixels.shape
        self.pixels, self.labels = pixels, labels
        self.shape = channels, height, width
        self.classes = classes
        self.flip = flip

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pixels[index], int(self.labels[index])

    def read(self, indices: Sequence[int]) -> LabelledPixels:
        return take_rows(self.pixels, self.labels, indices)


def take_rows(pixels: Tensor, labels: Tensor, indices: Sequence[int]) -> LabelledPixels:
    """The rows of both at `indices`, copied."""
    # numpy copies a row at a time; torch's indexing goes pixel by pixel, and in threads that training wants for itself.
    where = np.asarray(indices, dtype=np.int64)
    return LabelledPixels(torch.from_numpy(pixels.numpy().take(where, axis=0)), labels[torch.from_numpy(where)])
