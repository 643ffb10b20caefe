"""From an image as it was stored to a uint8 tensor of the size that the network sees."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from diffusion.runs.small_files import open_regular

MODES = {1: "L", 3: "RGB"}
MOST_SIDE = 2**14
# Pillow refuses what has more pixels, 0.7 GB once decoded.
MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
MOST_BYTES = 2**28
# Pillow knows more, of which some start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


def read_image(path: str, *, channels: int, height: int, width: int) -> Tensor:
    """The image in the file `path`, fitted: uint8 (C, H, W). Of an animation it is the first frame."""
    with open_image(path) as image:
        return fitted(image, channels=channels, height=height, width=width)


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """The image in the regular file `path`, not decoded yet."""
    ignore_size_warning()
    with open_regular(path, MOST_BYTES) as file:
        yield Image.open(file, formats=FORMATS)


def why_unreadable(error: Exception) -> str:
    """Why an image cannot be read, in a line."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no image of a known format"
    return getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__


@cache
def ignore_size_warning() -> None:
    """Pillow warns from half of what it refuses on, which is of no use here."""
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def fitted(image: Image.Image, *, channels: int, height: int, width: int) -> Tensor:
    """`image` scaled until it just covers height x width, the rest cut off evenly: uint8 (C, H, W).

    Grey or RGB comes first, so that a palette or a transparency (which is dropped) never enters the arithmetic of
    scaling. Halving by BOX down to less than twice the size before BICUBIC is the original's way.
    """
    image = eight_bit(image)
    image.info.pop("transparency", None)  # else Pillow warns of each palette whose transparency is dropped
    if image.mode != MODES[channels]:  # convert() would copy, and a large photo takes half a gigabyte
        image = image.convert(MODES[channels])
    while image.width >= 2 * width and image.height >= 2 * height:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = max(width / image.width, height / image.height)
    if scale**2 * image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels are too long and thin to fill {width}x{height}")
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    pixels = torch.from_numpy(np.array(image.crop((left, top, left + width, top + height))))
    return pixels.reshape(height, width, channels).permute(2, 0, 1)


def eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey brought to 0..255, which Pillow would clip to white; other images as they are."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no white level; save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"levels from {levels.min()} to {levels.max()}; save it with 8 or 16 bits")
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))  # the nearest of 0..255


def require_sides(**sides: int | None) -> None:
    """Raise ValueError if a side of the images, by the name of its setting, is none that images have."""
    for name, side in sides.items():
        if side is not None and not 1 <= side <= MOST_SIDE:
            raise ValueError(f"data.{name}={side} must lie between 1 and {MOST_SIDE}; set data.{name}=64")


def require_channels(channels: int) -> None:
    """Raises unless images can be prepared with so many channels."""
    if channels not in MODES:
        raise ValueError(f"images have 1 (grey) or 3 (RGB) channels, not {channels}; set data.channels=3")
