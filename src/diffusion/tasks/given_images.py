"""The images and masks that a task is given."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from diffusion.data.folder import image_files
from diffusion.data.preparation import fitted, open_image
from diffusion.inference.low_res_input import from_npz, sizes
from diffusion.inference.trained import Trained
from diffusion.pictures.pixels import from_uint8


def given_images(places: str | Sequence[str] | None, model: Trained, setting: str) -> Tensor:
    """The images (N, C, H, W) in [-1, 1] of files, folders or an npz, cropped and resized to those of the model."""
    names = [places] if isinstance(places, str) else list(places or ())
    if not names:
        raise ValueError(f"{setting} names no images; give files, a folder, or an npz such as sample.py writes")
    channels, height, width = model.shape
    parts = []
    for name in names:
        if name.endswith(".npz"):
            pixels, _ = from_npz(name, channels)
            if tuple(pixels.shape[2:]) != (height, width):
                raise ValueError(
                    f"{name} holds images of {sizes([tuple(pixels.shape[2:])])}, the model draws "
                    f"{sizes([(height, width)])}; give images of that size"
                )
            parts.append(pixels)
            continue
        for path in paths_of(name, setting):
            parts.append(read_fitted(path, channels, height, width)[None])
    return from_uint8(torch.cat(parts))


def paths_of(name: str, setting: str) -> list[Path]:
    """The image files that `name`, a file or a folder, stands for."""
    if not Path(name).is_dir():
        return [Path(name)]
    try:
        return [Path(name) / file for file in image_files(name)]
    except ValueError as error:
        raise ValueError(str(error).replace("data.root", setting)) from None


def read_fitted(path: Path, channels: int, height: int, width: int) -> Tensor:
    """An image file, cropped and resized, uint8 (C, H, W)."""
    if not path.is_file():
        raise ValueError(f"there is no image {path}; give another")
    try:
        with open_image(path) as image:
            return fitted(image, channels=channels, height=height, width=width)
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, zlib.error, ...
        raise ValueError(f"cannot read {path} ({str(error).splitlines()[0]}); give another") from None


def given_mask(place: str | None, model: Trained, setting: str) -> Tensor:
    """(1, 1, H, W): 1 where a grey picture of the model's size is white, and the image known; 0 where it is black."""
    if place is None:
        raise ValueError(f"{setting} is missing; give a picture, white where it is known: {setting}=FILE.png")
    _, height, width = model.shape
    if not Path(place).is_file():
        raise ValueError(f"there is no mask {place}; give another: {setting}=FILE.png")
    try:
        with open_image(Path(place)) as image:
            size = (image.height, image.width)
            pixels = fitted(image, channels=1, height=height, width=width)
    except Exception as error:
        raise ValueError(f"cannot read {place} ({str(error).splitlines()[0]}); give another mask") from None
    if size != (height, width):
        raise ValueError(f"the mask {place} is {sizes([size])}; give one of {sizes([(height, width)])}")
    return (pixels[None] >= 128).float()
