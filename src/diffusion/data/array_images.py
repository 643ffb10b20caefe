"""Images in arrays of NumPy."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffusion.compute.memory import check_pixels
from diffusion.data.arrays import ArrayFile, Header
from diffusion.data.classes import Classes, classes_from
from diffusion.data.images import UNLABELLED, LabelledPixels, Resident, take_rows
from diffusion.data.preparation import MODES, fitted, require_sides


class ArrayImages(Resident):
    """Images in an .npz file, or in an .npy file, which may be larger than the memory if `image_size` is not given.

    `images` and `labels` name the arrays: "auto" is the one that can be, labels "none" leaves them out. Where there are
    several, `split` takes those with that word in their names, as in train_images or x_test. Channels are the last
    axis, or else the second. Labels are whole numbers from 0, or names. `image_size`, if given, scales and crops the
    images square, and holds them in memory.
    """

    splits: ClassVar[Mapping[str, Mapping[str, Any]]] = {split: {"split": split} for split in ("train", "test")}
    paths: ClassVar[tuple[str, ...]] = ("path",)
    runs_no_code = True

    def __init__(
        self,
        *,
        path: str,
        split: str | None = None,
        images: str = "auto",
        labels: str = "auto",
        image_size: int | None = None,
        flip: bool = False,
    ) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))
        self.settings = {
            "path": self.path, "split": split, "images": images, "labels": labels, "image_size": image_size,
            "flip": flip,
        }  # fmt: skip
        require_sides(image_size=image_size)
        file = ArrayFile(self.path)
        self._stored = stored_images(file, file.find("images", images, split, are_images), split)
        if image_size is not None:
            self._stored = scaled(self._stored, image_size)
        numbers, classes = stored_labels(file, labels, split, len(self._stored))
        super().__init__(channels_first(self._stored), numbers, classes=classes, flip=flip)

    def read(self, indices: Sequence[int]) -> LabelledPixels:
        rows = take_rows(self._stored, self.labels, indices)
        return rows._replace(pixels=channels_first(rows.pixels).contiguous())


def are_images(header: Header) -> bool:
    """Whether an array can be images: uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) of one or three channels."""
    channels = {3: {1}, 4: {*header.shape[1::2]}}.get(len(header.shape), set())
    return header.dtype == np.uint8 and bool(channels & MODES.keys()) and all(header.shape)


def stored_images(file: ArrayFile, name: str | None, split: str | None) -> Tensor:
    """The images in the array of that name, as it lies in the file."""
    if name is None or not are_images(file.headers[name]):
        where = name or (f"arrays for data.split={split}" if split else "its arrays")
        raise ValueError(
            f"{file.path} has no images in {where}: uint8 (N, height, width), (N, height, width, 3) or "
            f"(N, 3, height, width); it holds {file}"
        )
    return torch.from_numpy(file.read(name))


def stored_labels(file: ArrayFile, wanted: str, split: str | None, count: int) -> tuple[Tensor, Classes]:
    """The labels (N,) of `count` images and the names of the classes; -1 throughout and None if there are none."""
    one_each = ((count,), (count, 1))
    name = None if wanted == "none" else file.find("labels", wanted, split, lambda header: header.shape in one_each)
    if name is None:
        return torch.full((count,), UNLABELLED), None
    if file.headers[name].shape not in one_each:
        raise ValueError(
            f"{name} in {file.path}, {file.headers[name]}, has not one label for each of {count} images; name another: "
            "data.labels=..., or set data.labels=none"
        )
    return classes_from(file.read(name).reshape(count), f"{name} in {file.path}")


def channels_first(stored: Tensor) -> Tensor:
    """(N, C, H, W) of images in any of the orders that `are_images` takes."""
    if stored.ndim == 3:
        return stored[:, None]
    return stored.movedim(-1, 1) if stored.shape[-1] in MODES else stored


def scaled(stored: Tensor, size: int) -> Tensor:
    """The images scaled and cropped: uint8 (N, size, size, C)."""
    images = channels_first(stored)
    shape = {"channels": images.shape[1], "height": size, "width": size}
    check_pixels(len(images), (images.shape[1], size, size), "set a smaller data.image_size")
    pixels = torch.empty(len(images), size, size, images.shape[1], dtype=torch.uint8)
    for place, image in zip(pixels, images, strict=True):
        levels = image[0] if len(image) == 1 else image.movedim(0, -1)
        place.copy_(fitted(Image.fromarray(levels.contiguous().numpy()), **shape).movedim(0, -1))
    return pixels
