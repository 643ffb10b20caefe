"""Tasks that begin with images of the user's own."""

import os
from abc import ABC
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.data.stored_images import from_files, from_folder, from_npz, sizes
from diffusion.pictures.grid import grid
from diffusion.pictures.pixels import from_uint8
from diffusion.process.process import Process
from diffusion.samplers.sampler import Sampler
from diffusion.tasks.task import Drawing, Task, drawn_as

Images = str | Sequence[str] | Tensor
TILES = 12  # images in a row of a picture


class GivenImages(NamedTuple):
    """Images x (M, C, H, W) in [-1, 1], and the class of each where it came along."""

    x: Tensor
    labels: list[int] | None


class ReadOnce:
    """`images` as the setting of that name gives them, read when they are first asked for."""

    def __init__(self, images: Images, setting: str) -> None:
        self.images, self.setting = images, setting
        self.read: dict[tuple[int, int, int], GivenImages] = {}

    def __call__(self, shape: tuple[int, int, int]) -> GivenImages:
        """The images; ValueError unless they are of `shape` (C, H, W)."""
        if shape not in self.read:
            self.read[shape] = read_images(self.images, shape, self.setting)
        return self.read[shape]


class FromImages(Task, ABC):
    """Draws `versions` images of each given one, which take turns: image i is drawn of given image i modulo M.

    `images` are a folder, an image file, a list of files, or an npz such as `sample.py` writes; in Python also a tensor
    (M, C, H, W), uint8 or in [-1, 1].
    """

    def __init__(self, *, images: Images, versions: int = 1) -> None:
        if versions < 1:
            raise ValueError(f"versions={versions} must be at least 1; set task.versions=1")
        self.images, self.versions = images, versions
        self.given = ReadOnce(images, "task.images")

    def check(self, sampler: Sampler, process: Process, shape: tuple[int, int, int]) -> None:
        self.given(shape)

    def total(self, asked: int, shape: tuple[int, int, int]) -> int:
        return min(asked, len(self.given(shape).x) * self.versions)

    def labels(self, shape: tuple[int, int, int]) -> tuple[str, list[int] | None]:
        return place_of(self.images), self.given(shape).labels

    def originals(self, drawing: Drawing) -> Tensor:
        """The given image of each that is drawn, (N, C, H, W)."""
        return in_turn(self.given(drawing.shape).x, drawing.numbers).to(drawing.device)

    def shown(self, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """What a picture shows before the versions of each given image, (M, C, H, W) each, and what it is."""
        return {"given": self.given(shape).x}

    def picture(self, x: Tensor, labels: Sequence[str]) -> np.ndarray:
        beside = self.shown((x.shape[1], x.shape[2], x.shape[3]))
        originals = len(beside["given"])
        width = len(beside) + -(-len(x) // originals)
        rows, words = [], []
        for number in range(min(originals, len(x))):
            before = [images[number : number + 1] for images in beside.values()]
            tiles = torch.cat([*before, x[number::originals].cpu()])
            rows.append(torch.cat([tiles, tiles.new_ones(width - len(tiles), *tiles.shape[1:])]))
            told = [*beside, *map(drawn_as, labels[number::originals])]
            words += [*told, *[""] * (width - len(told))]
        several = len(rows) < len(x)  # versions: a row for each given image
        return grid(torch.cat(rows), columns=width if several else max(TILES - TILES % width, width), labels=words)


def read_images(images: Images, shape: tuple[int, int, int], setting: str) -> GivenImages:
    """What `setting` names, in [-1, 1]; ValueError unless it is images of `shape` (C, H, W)."""
    labels = None
    if isinstance(images, Tensor):
        pixels = images
    elif not isinstance(images, str):
        if not len(images):
            raise ValueError(f"{setting}=[] names no image; give some, such as '{setting}=[a.png,b.png]'")
        pixels = from_files(list(map(str, images)), shape[0])
    elif images.endswith(".npz"):
        pixels, labels = from_npz(images, shape[0])
    elif os.path.isfile(images):
        pixels = from_files([images], shape[0])
    else:
        pixels, _ = from_folder(images, shape[0], setting)
    if tuple(pixels.shape[1:]) != shape or not len(pixels):
        raise ValueError(
            f"the images of {setting}={place_of(images)} are {sizes([tuple(pixels.shape[1:])])}, and the model draws "
            f"{sizes([shape])} (channels, height, width); give images of that shape"
        )
    return GivenImages(from_uint8(pixels) if pixels.dtype == torch.uint8 else pixels.float(), labels)


def place_of(images: Images) -> str:
    """Where they are from, for people."""
    if isinstance(images, Tensor):
        return f"a tensor {tuple(images.shape)}"
    return images if isinstance(images, str) else f"[{','.join(map(str, images))}]"


def in_turn(rows: Tensor, numbers: Sequence[int]) -> Tensor:
    """The row of each of these numbers, which begin again when they end: (N, ...)."""
    return rows[torch.tensor(list(numbers), dtype=torch.long) % len(rows)]
