"""Tasks that draw the unknown part of images whose other pixels are known."""

from abc import ABC
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.process.level import Level
from diffusion.process.process import Process
from diffusion.samplers.sampler import Sampler
from diffusion.tasks.from_images import FromImages, Images, ReadOnce, in_turn
from diffusion.tasks.task import Drawing


class KnownPixels(NamedTuple):
    """Images x_0 (N, C, H, W) of which the pixels of `mask` are known, bool (N, 1, H, W)."""

    x_0: Tensor
    mask: Tensor

    def merged(self, x: Tensor, level: Level, z: Tensor) -> Tensor:
        """x_t, its known pixels drawn from q(x_t | x_0) with the noise z (N, C, H, W)."""
        return torch.where(self.mask, level.x(self.x_0.to(x.dtype), z), x)

    def put_back(self, x_0: Tensor) -> Tensor:
        """The expected image with what is known of it."""
        return torch.where(self.mask, self.x_0.to(x_0.dtype), x_0)


class FromMasked(FromImages, ABC):
    """Draws the black pixels of `mask` anew; its white ones, 128 and more of 255, are known and kept.

    `mask` is one image of the size of `images`, or one for each in turn: a file, a folder or an npz. In Python it is
    also a tensor (H, W) or (M, 1, H, W), whose known pixels are those above 0.
    """

    def __init__(self, *, images: Images, mask: Images, versions: int = 1) -> None:
        super().__init__(images=images, versions=versions)
        self.mask = mask
        if isinstance(mask, Tensor):
            mask = (mask if mask.ndim == 4 else mask.reshape(-1, 1, *mask.shape[-2:])) > 0
            mask = 2.0 * mask - 1
        self.white = ReadOnce(mask, "task.mask")

    def masks(self, shape: tuple[int, int, int]) -> Tensor:
        """What is known, bool (M, 1, H, W); ValueError unless it has the size of `shape` (C, H, W)."""
        return self.white((1, *shape[1:])).x > 0

    def check(self, sampler: Sampler, process: Process, shape: tuple[int, int, int]) -> None:
        super().check(sampler, process, shape)
        self.masks(shape)

    def known(self, drawing: Drawing) -> KnownPixels:
        """What is known of the images that are drawn."""
        mask = in_turn(self.masks(drawing.shape), drawing.numbers).to(drawing.device)
        return KnownPixels(self.originals(drawing), mask)

    def shown(self, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """Each image, and what is known of it before grey."""
        x = self.given(shape).x
        return {"given": x, "known": torch.where(in_turn(self.masks(shape), range(len(x))), x, 0)}
