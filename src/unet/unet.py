"""The U-Net of Nichol & Dhariwal 2021 (appendix A), with the options of Dhariwal & Nichol 2021."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .layers import GroupNorm, Head, convolution, zero
from .plan import Planned
from .trunk import Trunk


@dataclass(kw_only=True, eq=False, repr=False)
class UNet(Planned):
    """(x_t, time, y) -> the network's output, (N, C, ...), (N,), (N,) -> (N, C', ...); exactly 0 before training.

    `num_classes` is None for a network that is told no label. One that is told how its images were changed takes so
    many `augmentation_numbers`, as `augmentation` (N, ...). It sees sines and cosines of the pixels beside them, one
    pair for each power in `fourier_features` (see FourierFeatures). The other options are those of Planned.
    """

    stacked_images: ClassVar[int] = 1
    given_by_data: ClassVar[tuple[str, ...]] = ("num_classes",)
    """The arguments with a default here that a configuration leaves open until the data are known."""

    out_channels: int
    num_classes: int | None = None
    augmentation_numbers: int = 0
    fourier_features: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, least in (("out_channels", 1), ("num_classes", 1), ("augmentation_numbers", 0)):
            if (value := getattr(self, option)) is not None and value < least:
                raise ValueError(f"{option}={value} must be {least} or more; leave model.{option} out")
        seen = self.stacked_images * self.in_channels
        self.trunk = Trunk(
            self, seen, self.num_classes, numbers=self.augmentation_numbers, fourier_features=self.fourier_features
        )
        self.up = up_half(self, self.trunk.skip_channels)
        channels = self.levels[0].channels
        last = zero(convolution(channels, self.out_channels, dims=self.dims))
        self.head = Head(GroupNorm(self.norm_groups, channels), nn.SiLU(), last)

    def forward(self, x: Tensor, time: Tensor, y: Tensor | None = None, augmentation: Tensor | None = None) -> Tensor:
        skips, h, emb = self.trunk(x, time, y, augmentation)
        for stage in self.up:
            # Taking the skip off its list frees its memory once it is used.
            h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        return self.head(h)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of what `forward` needs beside the image and the time."""
        return (() if self.num_classes is None else ("y",)) + (("augmentation",) if self.augmentation_numbers else ())


def up_half(plan: Planned, skip_channels: list[int]) -> nn.ModuleList:
    """The stages from the coarsest level to the finest; each takes one skip, the last of a level doubles the size."""
    stages = nn.ModuleList()
    skips = list(skip_channels)
    channels = skips[-1]
    for level in reversed(plan.levels):
        for _ in range(plan.blocks_per_level + 1):
            stages.append(plan.stage(level, channels + skips.pop(), heads=plan.heads_up))
            channels = level.channels
        if level is not plan.levels[0]:
            stages[-1].add_module("upsample", plan.upsample(level))
    return stages
