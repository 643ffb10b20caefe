"""The classifier of noisy images whose gradient guides sampling (Dhariwal & Nichol 2021, section 4)."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from .attention import attend, count_heads
from .layers import GroupNorm, Head, Pointwise, convolution, zero
from .plan import HEADS, Plan, one_of
from .trunk import Trunk

POOLS = ("attention", "adaptive", "spatial", "spatial_v2")
HIDDEN_CHANNELS = 2048


class AttentionPool(nn.Module):
    """What one more token, the mean of all, finds by attending to all. (N, C, H, W) -> (N, C')."""

    def __init__(self, channels: int, out_channels: int, *, positions: int, heads: int):
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(torch.randn(channels, positions + 1) / channels**0.5)
        self.qkv = Pointwise(channels, 3 * channels)
        self.projection = Pointwise(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = rearrange(x, "n c h w -> n (h w) c")
        positions = self.position.shape[1] - 1
        if tokens.shape[1] != positions:
            raise ValueError(
                f"attention pooling was made for {positions} positions and got {tokens.shape[1]}; "
                "set model.image_size to the (square) images' size, or model.pool=adaptive"
            )
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + self.position.mT
        pooled = attend(self.qkv(tokens), heads=self.heads, order="qkv_first", queries=1)
        return self.projection(pooled).squeeze(1)


class Classifier(nn.Module):
    """(x_t, time) -> logits, (N, C, H, W), (N,) -> (N, num_classes): the down half of a U-Net, its middle, and a pool.

    The pool reads the last feature map ("attention", "adaptive") or the means of all of them ("spatial", "spatial_v2").
    The other options are those of UNet.
    """

    classifies: ClassVar[bool] = True
    conditions: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        image_size: int,
        in_channels: int,
        num_classes: int,
        base_channels: int = 128,
        channel_mult: tuple[int, ...] = (1, 2, 3, 4),
        blocks_per_level: int = 2,
        attention_resolutions: tuple[int, ...] = (32, 16, 8),
        heads: int = HEADS,
        channels_per_head: int | None = 64,
        attention_order: str = "heads_first",
        dropout: float = 0.0,
        scale_shift: bool = True,
        norm_groups: int = 32,
        resampling: str = "residual",
        pool: str = "attention",
    ):
        super().__init__()
        plan = Plan(
            image_size=image_size,
            base_channels=base_channels,
            channel_mult=channel_mult,
            blocks_per_level=blocks_per_level,
            attention_resolutions=attention_resolutions,
            heads=heads,
            channels_per_head=channels_per_head,
            attention_order=attention_order,
            dropout=dropout,
            scale_shift=scale_shift,
            norm_groups=norm_groups,
            resampling=resampling,
        )
        facts = {"in_channels": in_channels, "num_classes": num_classes, "pool": pool}
        self.settings = {**facts, **asdict(plan)}  # what another network like this one is made of
        self.trunk = Trunk(plan, in_channels)
        self.reads_all_levels = pool in ("spatial", "spatial_v2")
        if self.reads_all_levels:
            channels = sum(self.trunk.skip_channels) + plan.levels[-1].channels
            self.head = all_levels_head(pool, channels, num_classes, norm_groups)
        else:
            self.head = last_map_head(pool, plan, num_classes)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        maps, middle, _ = self.trunk(x, time)
        if not self.reads_all_levels:
            return self.head(middle)
        return self.head(torch.cat([reduce(h, "n c h w -> n c", "mean") for h in [*maps, middle]], dim=1))


def last_map_head(pool: str, plan: Plan, num_classes: int) -> Head:
    """(N, C, H, W) -> logits."""
    size, channels, *_ = plan.levels[-1]
    layers: list[nn.Module] = [GroupNorm(plan.norm_groups, channels), nn.SiLU()]
    if pool == "adaptive":
        last = zero(convolution(channels, num_classes, dims=2, kernel=1))
        return Head(*layers, nn.AdaptiveAvgPool2d(1), last, nn.Flatten())
    if pool == "attention":
        heads = count_heads(channels, heads=plan.heads, channels_per_head=plan.channels_per_head)
        return Head(*layers, AttentionPool(channels, num_classes, positions=size**2, heads=heads))
    raise ValueError(f"pool={pool!r} is unknown; set model.pool={one_of(POOLS)}")


def all_levels_head(pool: str, channels: int, num_classes: int, norm_groups: int) -> Head:
    """(N, channels) -> logits."""
    first, last = nn.Linear(channels, HIDDEN_CHANNELS), nn.Linear(HIDDEN_CHANNELS, num_classes)
    if pool == "spatial":
        return Head(first, nn.ReLU(), last)
    return Head(first, GroupNorm(norm_groups, HIDDEN_CHANNELS), nn.SiLU(), last)
