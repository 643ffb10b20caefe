"""The classifier of noisy images whose gradient guides sampling (Dhariwal & Nichol 2021, section 4)."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from .attention import attend, count_heads
from .layers import GroupNorm, Head, Pointwise, convolution, zero
from .plan import Planned
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


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(Planned):
    """(x_t, time) -> logits, (N, C, H, W), (N,) -> (N, num_classes): the down half of a U-Net, its middle, and a pool.

    The pool reads the last feature map ("attention", "adaptive") or the means of all of them ("spatial", "spatial_v2").
    The other options are those of Planned, but for those that only a U-Net has.
    """

    classifies: ClassVar[bool] = True
    conditions: ClassVar[tuple[str, ...]] = ()

    num_classes: int
    attention_resolutions: tuple[int, ...] = (32, 16, 8)
    channels_per_head: int | None = 64
    resampling: str = "residual"
    pool: str = "attention"
    heads_up: None = field(default=None, init=False)
    checkpoint: tuple[int, ...] = field(default=(), init=False)
    dims: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.trunk = Trunk(self, self.in_channels)
        self.reads_all_levels = self.pool in ("spatial", "spatial_v2")
        self.head = self._all_levels_head() if self.reads_all_levels else self._last_map_head()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        maps, middle, _ = self.trunk(x, time)
        if not self.reads_all_levels:
            return self.head(middle)
        return self.head(torch.cat([reduce(h, "n c h w -> n c", "mean") for h in [*maps, middle]], dim=1))

    def _last_map_head(self) -> Head:
        """(N, C, H, W) -> logits."""
        size, channels, *_ = self.levels[-1]
        layers: list[nn.Module] = [GroupNorm(self.norm_groups, channels), nn.SiLU()]
        if self.pool == "adaptive":
            last = zero(convolution(channels, self.num_classes, dims=2, kernel=1))
            return Head(*layers, nn.AdaptiveAvgPool2d(1), last, nn.Flatten())
        if self.pool == "attention":
            heads = count_heads(channels, heads=self.heads, channels_per_head=self.channels_per_head)
            return Head(*layers, AttentionPool(channels, self.num_classes, positions=size**2, heads=heads))
        raise ValueError(f"pool={self.pool!r} is unknown; set model.pool={' or '.join(POOLS)}")

    def _all_levels_head(self) -> Head:
        """(N, the channels of all maps) -> logits."""
        channels = sum(self.trunk.skip_channels) + self.levels[-1].channels
        first, last = nn.Linear(channels, HIDDEN_CHANNELS), nn.Linear(HIDDEN_CHANNELS, self.num_classes)
        if self.pool == "spatial":
            return Head(first, nn.ReLU(), last)
        return Head(first, GroupNorm(self.norm_groups, HIDDEN_CHANNELS), nn.SiLU(), last)
