"""Images of the user's own as they lie in a folder, in single files, or in an npz."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion.data.arrays import ArrayFile
from diffusion.data.folder import image_files
from diffusion.data.preparation import fitted, open_image, why_unreadable


def sizes(shapes: Sequence[tuple[int, ...]]) -> str:
    """Heights and widths in words: "8x8"."""
    return ", ".join("x".join(map(str, shape)) for shape in shapes)


def from_npz(path: str, channels: int) -> tuple[Tensor, list[int] | None]:
    """The images arr_0, uint8 (N, H, W, C), and labels arr_1, as `sample.py` writes them: uint8 (N, C, H, W), (N,)."""
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}; give a folder of images, or an npz such as sample.py writes")
    file = ArrayFile(path)
    images, labels = (file.headers.get(name) for name in ("arr_0", "arr_1"))
    if images is None or images.dtype != np.uint8 or len(images.shape) != 4 or images.shape[-1] != channels:
        raise ValueError(f"{path} must hold arr_0, uint8 (N, height, width, {channels}), and holds {file}")
    if not all(images.shape):
        raise ValueError(f"{path} holds no images; give another file")
    if labels is not None and labels.shape != images.shape[:1]:
        count = math.prod(labels.shape)
        raise ValueError(f"{path} holds {images.shape[0]} images and {count} labels; give one label an image")
    pixels = torch.from_numpy(file.read("arr_0")).permute(0, 3, 1, 2)
    return pixels, None if labels is None else file.read("arr_1").tolist()


def from_folder(root: str, channels: int, setting: str = "low_res") -> tuple[Tensor, None]:
    """Every image below `root` in the size it has, in the order of its path: uint8 (N, C, H, W)."""
    try:
        files = image_files(root)
    except ValueError as error:
        raise ValueError(str(error).replace("data.root", setting)) from None
    return from_files(files, channels, root), None


def from_files(files: Sequence[str], channels: int, root: str = "") -> Tensor:
    """The images in these files below `root`, which must be of one size: uint8 (N, C, H, W)."""
    images: list[Tensor] = []
    for file in files:
        path = Path(root) / file
        try:
            with open_image(path) as image:
                images.append(fitted(image, channels=channels, height=image.height, width=image.width))
        except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, zlib.error, ...
            raise ValueError(f"cannot read {path} ({why_unreadable(error)}); leave it out") from None
        if images[-1].shape != images[0].shape:
            one, other = sizes([images[0].shape[1:]]), sizes([images[-1].shape[1:]])
            raise ValueError(f"{root or 'the list'} mixes sizes: {files[0]} is {one}, {file} is {other}; give one size")
    return torch.stack(images)
