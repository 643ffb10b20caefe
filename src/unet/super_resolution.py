"""A U-Net that draws the details of a small image."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .unet import UNet

LINEAR_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class SuperResolutionUNet(UNet):
    """(x_t, time, low_res, y) -> the network's output; low_res (N, C, h, w) is resized and seen beside x_t.

    The options are those of UNet: `in_channels` counts the channels of one image.
    """

    stacked_images: ClassVar[int] = 2

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("low_res", *super().conditions)

    # The arguments differ from UNet's on purpose: the small image is no option here, and comes before the label.
    def forward(  # type: ignore[override]
        self, x: Tensor, time: Tensor, low_res: Tensor | None = None, y: Tensor | None = None,
        augmentation: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        if low_res is None:
            raise ValueError(
                "the network super-resolves and got no small image; pass low_res (in training: "
                "'conditions=[label,small_image]'), or set model=unet_..."
            )
        if x.shape[1] != self.in_channels:
            raise ValueError(f"x has {x.shape[1]} channels, the network {self.in_channels}; set model.in_channels=...")
        if low_res.ndim != x.ndim or low_res.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"low_res has shape {tuple(low_res.shape)}, x has {tuple(x.shape)}; "
                "pass as many small images as images, with the same channels"
            )
        size = x.shape[2:]
        if any(small > large for small, large in zip(low_res.shape[2:], size, strict=True)):
            raise ValueError(
                f"low_res of size {tuple(low_res.shape[2:])} is larger than x of size {tuple(size)}; "
                "pass the smaller image as low_res"
            )
        resized = F.interpolate(low_res, size, mode=LINEAR_MODES[len(size)])
        return super().forward(torch.cat([x, resized], dim=1), time, y, augmentation)
