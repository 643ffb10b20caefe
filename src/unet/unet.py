"""The U-Net of Nichol & Dhariwal 2021 (appendix A), with the options of Dhariwal & Nichol 2021."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from .layers import GroupNorm, Head, convolution, zero
from .plan import HEADS, Plan
from .trunk import Trunk


class FeatureMaps(NamedTuple):
    """Feature maps in the order in which they are computed: one for each input block, the middle, each output block."""

    down: list[Tensor]
    middle: Tensor
    up: list[Tensor]


class UNet(nn.Module):
    """(x_t, time, y) -> the network's output, (N, C, ...), (N,), (N,) -> (N, C', ...); exactly 0 before training.

    Level i has feature maps of size image_size / 2^i with channel_mult[i] * base_channels channels. Levels whose size
    is in `attention_resolutions` attend; those in `checkpoint` recompute their activations in backward, to save memory.
    `heads_up` (default: `heads`) counts the heads going up; `channels_per_head` decides instead of both.
    `resampling` is "convolution", "pooling" (without weights) or "residual". `image_size` is the nominal shorter side:
    an image of any shape will do whose sides can be halved as often. With 3 `dims`, only the inner two axes are halved.
    """

    stacked_images: ClassVar[int] = 1
    given_by_data: ClassVar[tuple[str, ...]] = ("num_classes",)
    """The arguments with a default here that a configuration leaves open until the data are known."""

    def __init__(
        self,
        *,
        image_size: int,
        in_channels: int,
        out_channels: int,
        num_classes: int | None = None,
        base_channels: int = 128,
        channel_mult: tuple[int, ...] = (1, 2, 3, 4),
        blocks_per_level: int = 2,
        attention_resolutions: tuple[int, ...] = (16, 8),
        heads: int = HEADS,
        heads_up: int | None = None,
        channels_per_head: int | None = None,
        attention_order: str = "heads_first",
        dropout: float = 0.0,
        scale_shift: bool = True,
        norm_groups: int = 32,
        resampling: str = "convolution",
        checkpoint: tuple[int, ...] = (),
        dims: int = 2,
    ):
        super().__init__()
        plan = Plan(
            image_size=image_size,
            base_channels=base_channels,
            channel_mult=channel_mult,
            blocks_per_level=blocks_per_level,
            attention_resolutions=attention_resolutions,
            heads=heads,
            heads_up=heads_up,
            channels_per_head=channels_per_head,
            attention_order=attention_order,
            dropout=dropout,
            scale_shift=scale_shift,
            norm_groups=norm_groups,
            resampling=resampling,
            checkpoint=checkpoint,
            dims=dims,
        )
        self.in_channels = in_channels
        facts = {"in_channels": in_channels, "out_channels": out_channels, "num_classes": num_classes}
        self.settings = {**facts, **asdict(plan)}  # what another network like this one is made of
        self.trunk = Trunk(plan, self.stacked_images * in_channels, num_classes)
        self.up = up_half(plan, self.trunk.skip_channels)
        channels = plan.levels[0].channels
        last = zero(convolution(channels, out_channels, dims=dims))
        self.head = Head(GroupNorm(norm_groups, channels), nn.SiLU(), last)

    def forward(self, x: Tensor, time: Tensor, y: Tensor | None = None) -> Tensor:
        skips, h, emb = self.trunk(x, time, y)
        for stage in self.up:
            # Taking the skip off its list frees its memory once it is used.
            h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        return self.head(h)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of what `forward` needs beside the image and the time."""
        return () if self.trunk.embedding.num_classes is None else ("y",)

    def features(self, x: Tensor, time: Tensor, y: Tensor | None = None) -> FeatureMaps:
        """Every feature map that leads to the output, for probing what the network has learned."""
        down, middle, emb = self.trunk(x, time, y)
        h = middle
        up = [h := stage(torch.cat([h, skip], dim=1), emb) for stage, skip in zip(self.up, reversed(down), strict=True)]
        return FeatureMaps(down, middle, up)


def up_half(plan: Plan, skip_channels: list[int]) -> nn.ModuleList:
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
