"""Images beside small copies of themselves, from which a network learns to draw the details."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import interpolate

from diffusion.data.images import Images, LabelledPixels
from diffusion.data.prompts import Prompts
from diffusion.pictures.pixels import from_uint8


class Upsampling(Images):
    """The same images, where the network is also shown each one shrunk until its shorter side is `low_res_size`."""

    def __init__(self, *, images: Images, low_res_size: int) -> None:
        self.images = images
        self.shape, self.classes, self.flip, self.workers = images.shape, images.classes, images.flip, images.workers
        self.low_res_size: int = low_res_size
        low_res_shape(self.shape, low_res_size)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index]

    def prepare(self) -> None:
        self.images.prepare()
        self.workers = self.images.workers

    def read(self, indices: Sequence[int]) -> LabelledPixels:
        return self.images.read(indices)

    def condition(self, x_0: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {**super().condition(x_0, labels), "low_res": downsampled(x_0, self.low_res_size)}

    def prompts(self, count: int) -> Prompts:
        """The first `count` images, to be drawn anew from their small copies."""
        pixels, labels = self.read(range(min(count, len(self))))
        true = from_uint8(pixels)
        chosen = None if self.classes is None else labels.tolist()
        return Prompts(chosen, low_res=downsampled(true, self.low_res_size), true=true)


def downsampled(x: Tensor, low_res_size: int) -> Tensor:
    """x (N, C, H, W) shrunk until the shorter side is `low_res_size`: each pixel the mean of the area it stands for."""
    return interpolate(x, low_res_shape(tuple(x.shape[1:]), low_res_size)[1:], mode="area")


def low_res_shape(shape: tuple[int, ...], low_res_size: int) -> tuple[int, int, int]:
    """(C, h, w): images of `shape` (C, H, W) in their proportions, the shorter side being `low_res_size`."""
    channels, height, width = shape
    short = min(height, width)
    if not 0 < low_res_size < short:
        raise ValueError(
            f"low_res_size={low_res_size} does not shrink images of {height}x{width}; "
            f"set data.low_res_size from 1 to {short - 1}"
        )
    if (height * low_res_size) % short or (width * low_res_size) % short:
        raise ValueError(
            f"images of {height}x{width} keep no whole sides at low_res_size={low_res_size}; "
            f"set data.low_res_size={max(short // 2, 1)}, or give square images"
        )
    return channels, height * low_res_size // short, width * low_res_size // short
