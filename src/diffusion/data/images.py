"""What a set of images is to the rest of the program."""

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

UNLABELLED = -1


class LabelledPixels(NamedTuple):
    """Images and their classes, as they are stored."""

    pixels: Tensor
    """uint8 (N, C, H, W)"""
    labels: Tensor
    """int64 (N,): positions in `Images.classes`, or -1 throughout when there are none"""


class Images(Dataset[tuple[Tensor, int]]):
    """A fixed number of images of one shape: `images[i]` is a uint8 (C, H, W) and its label, -1 when unconditional.

    Beside its images, a set says at class level what its constructor's arguments mean to a run: `settings` are those
    arguments by name, as a configuration holds them.
    """

    splits: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """The arguments that choose each part, such as {"train": {"split": "train"}, ...}; {}: the set is not divided."""
    paths: ClassVar[tuple[str, ...]] = ("root",)
    """The arguments that are files or folders: a run keeps them absolute, and finds the same images after a move."""
    incidental: ClassVar[tuple[str, ...]] = ("workers", "cache", "download", "on_error")
    """The arguments that say how images are read, not which: they make no other experiment."""
    training_only: ClassVar[tuple[str, ...]] = ("flip",)
    """The arguments that say how training shows the images, not which they are."""
    from_checkpoint: ClassVar[Mapping[str, Any]] = {"download": False, "cache": "auto", "workers": 2}
    """Takes the place of what a checkpoint says of these arguments, which must not fetch files, write them, or start
    any number of processes."""

    runs_no_code: ClassVar[bool] = False
    """Whether reading any of them can run no code, whatever the files hold: only then a checkpoint may ask it."""

    settings: Mapping[str, Any] = MappingProxyType({})
    """The constructor's arguments, for a set that does not keep them as attributes: a run of Python then names them."""
    shape: tuple[int, int, int]
    """(C, H, W)"""
    classes: tuple[str, ...] | None
    """The names of the labels 0, 1, ...; None for an unconditional set."""
    flip: bool
    """Whether half of the images, drawn by chance, are shown to the network as in a mirror."""
    workers: int = 0
    """How many processes read the images; 0 when they are in memory."""

    def __len__(self) -> int:
        raise NotImplementedError

    def prepare(self) -> None:
        """Whatever makes reading them all, over and over, faster; it may take minutes, the first time."""

    def read(self, indices: Sequence[int]) -> LabelledPixels:
        """The images at `indices`, in that order."""
        pixels, labels = zip(*(self[index] for index in indices), strict=True)
        return LabelledPixels(torch.stack(pixels), torch.tensor(labels))

    @classmethod
    def paths_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the `paths` that these settings give as such."""
        return tuple(path for path in cls.paths if settings.get(path) is not None)

    @classmethod
    def title(cls, settings: Mapping[str, Any]) -> str:
        """What people call the images: "digits test", or the name of their folder."""
        folders = [os.path.basename(os.path.abspath(settings[path])) for path in cls.paths_of(settings)]
        return " ".join([*(folders or [cls.__name__.lower()]), *cls.split_of(settings)])

    @classmethod
    def split_of(cls, settings: Mapping[str, Any]) -> list[str]:
        """The name of the part that the settings choose; [] if they choose none of the `splits`."""
        chosen = (name for name, choice in cls.splits.items() if choice.items() <= settings.items())
        return [*chosen][:1]

    @classmethod
    def shape_from(cls, settings: Mapping[str, Any]) -> tuple[int | None, int, int]:
        """(C, H, W) by the settings alone, C None where they do not tell; ValueError if they do not tell the size."""
        size = settings.get("image_size")
        if size is None:
            raise ValueError("the size of the images is not known; give data.image_size=...")
        return settings.get("channels"), size, settings.get("width") or size

    @classmethod
    def reads_no_code(cls, settings: Mapping[str, Any]) -> bool:
        """Whether reading the images of these settings can run no code."""
        return cls.runs_no_code


class Resident(Images):
    """Images held in memory as one uint8 tensor (N, C, H, W): a batch is one indexing operation."""

    def __init__(self, pixels: Tensor, labels: Tensor, *, classes: tuple[str, ...] | None, flip: bool) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4:
            raise ValueError(f"pixels must be uint8 (N, C, H, W), and are {pixels.dtype} {(*pixels.shape,)}")
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
