"""What the halves of one network share: its levels, and how each of its blocks is made."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

from torch import nn

from .attention import AttentionBlock, count_heads
from .blocks import Downsample, ResBlock, Stage, Upsample, grow, shrink
from .layers import CONVOLUTIONS

HEADS = 4
MOST_BLOCKS = 100  # in a level; no published network has more than 8, and each takes a millisecond to make
RESAMPLINGS = ("convolution", "pooling", "residual")


class Resolution(NamedTuple):
    """All blocks that work on feature maps of one size."""

    size: int
    channels: int
    attends: bool
    recomputes: bool


@dataclass(kw_only=True, eq=False, repr=False)
class Planned(nn.Module):
    """A network by its options, which are checked here, and how its blocks are made.

    Level i has feature maps of size image_size / 2^i with channel_mult[i] * base_channels channels. Levels whose size
    is in `attention_resolutions` attend; those in `checkpoint` recompute their activations in backward, to save memory.
    Both may count sizes from the coarsest, -1, on, which fits every image_size; they are kept as the sizes meant.
    `heads_up` (default: `heads`) counts the heads going up; `channels_per_head` decides instead of both.
    `resampling` is "convolution", "pooling" (without weights) or "residual". `image_size` is the nominal shorter side:
    an image of any shape will do whose sides can be halved as often. With 3 `dims`, only the inner two axes are halved.
    """

    sizes_of_maps: ClassVar[tuple[str, ...]] = ("attention_resolutions", "checkpoint")
    """The options that list sizes of feature maps, which may be counted from the coarsest."""

    image_size: int
    in_channels: int
    base_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    blocks_per_level: int = 2
    attention_resolutions: tuple[int, ...] = (16, 8)
    heads: int = HEADS
    heads_up: int | None = None
    channels_per_head: int | None = None
    attention_order: str = "heads_first"
    dropout: float = 0.0
    scale_shift: bool = True
    norm_groups: int = 32
    resampling: str = "convolution"
    checkpoint: tuple[int, ...] = ()
    dims: int = 2

    def __post_init__(self) -> None:
        super().__init__()
        if self.dims not in CONVOLUTIONS:
            raise ValueError(f"dims={self.dims} is unknown; set model.dims to 1, 2 or 3")
        if self.resampling not in RESAMPLINGS:
            raise ValueError(
                f"resampling={self.resampling!r} is unknown; set model.resampling={' or '.join(RESAMPLINGS)}"
            )
        self._check_numbers()
        if self.channels_per_head is not None and (self.heads != HEADS or self.heads_up is not None):
            idle, default = ("heads", HEADS) if self.heads != HEADS else ("heads_up", "null")
            raise ValueError(
                f"channels_per_head={self.channels_per_head} decides the heads, {idle}={getattr(self, idle)} would do "
                f"nothing; set model.channels_per_head=null, or model.{idle}={default}"
            )
        if self.image_size < 1 or self.image_size % self.stride:
            below = self.image_size // self.stride * self.stride
            nearest = f"{below} or {below + self.stride}" if below > 0 else f"{self.stride}"
            raise ValueError(
                f"image_size={self.image_size} cannot be halved {len(self.channel_mult) - 1} times; "
                f"set data.image_size={nearest}, or fewer levels in model.channel_mult"
            )
        sizes = [self.image_size >> level for level in range(len(self.channel_mult))]
        for option in self.sizes_of_maps:
            named = self.sizes_meant(getattr(self, option), self.image_size, len(sizes))
            if len({*named}) < len(named):
                raise ValueError(f"{option}={list(named)} names a size twice; set 'model.{option}={sorted({*named})}'")
            for size in {*named} - {*sizes}:
                raise ValueError(
                    f"{option} names size {size}, which never occurs at image_size={self.image_size}; "
                    f"set 'model.{option}=[...]' from {sizes}, or count from the coarsest: [-1]"
                )
            setattr(self, option, named)

    @staticmethod
    def sizes_meant(sizes: Iterable[int], image_size: int, levels: int) -> tuple[int, ...]:
        """The sizes of feature maps, where those of `sizes` that are negative count from the coarsest of `levels`."""
        return tuple(image_size >> (levels + size) if -levels <= size < 0 else size for size in sizes)

    def _check_numbers(self) -> None:
        """Raise ValueError for a number that makes no network."""
        if not self.channel_mult or min(self.base_channels, self.blocks_per_level, *self.channel_mult) < 1:
            raise ValueError(
                f"base_channels={self.base_channels}, channel_mult={list(self.channel_mult)}, "
                f"blocks_per_level={self.blocks_per_level} make no network; set model.base_channels, "
                "model.blocks_per_level and one or more numbers in model.channel_mult to 1 or more"
            )
        if self.blocks_per_level > MOST_BLOCKS:
            raise ValueError(
                f"blocks_per_level={self.blocks_per_level} is too many; set model.blocks_per_level up to {MOST_BLOCKS}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must lie in [0, 1), 1 leaving nothing; set model.dropout=0.1")
        for option in ("in_channels", "norm_groups", "heads", "heads_up", "channels_per_head"):
            if (value := getattr(self, option)) is not None and value < 1:
                raise ValueError(f"{option}={value} must be at least 1; set model.{option}=1 or more")

    @property
    def stride(self) -> int:
        """How much smaller the coarsest feature map is than the image."""
        return 2 ** (len(self.channel_mult) - 1)

    @cached_property
    def levels(self) -> list[Resolution]:
        """Finest first."""
        sized = [(self.image_size >> i, mult * self.base_channels) for i, mult in enumerate(self.channel_mult)]
        return [
            Resolution(size, channels, size in self.attention_resolutions, size in self.checkpoint)
            for size, channels in sized
        ]

    def stage(self, level: Resolution, in_channels: int, *, heads: int | None = None) -> Stage:
        """A residual block, and attention where the level attends."""
        blocks: dict[str, nn.Module] = {"residual": self._residual(in_channels, level.channels)}
        if level.attends:
            blocks["attention"] = self._attention(level.channels, heads)
        return Stage(recompute=level.recomputes, **blocks)

    def middle(self) -> Stage:
        """The blocks between the halves, at the coarsest level; they always attend."""
        level = self.levels[-1]
        return Stage(
            recompute=level.recomputes,
            residual_1=self._residual(level.channels, level.channels),
            attention=self._attention(level.channels),
            residual_2=self._residual(level.channels, level.channels),
        )

    def downsample(self, level: Resolution) -> Stage:
        """From the size of `level` to half of it."""
        return Stage(recompute=level.recomputes, downsample=self._resample(level.channels, Downsample, shrink))

    def upsample(self, level: Resolution) -> nn.Module:
        """From the size of `level` to twice it."""
        return self._resample(level.channels, Upsample, grow)

    def _resample(self, channels: int, kind: type[nn.Module], inside: Callable[[int], nn.Module]) -> nn.Module:
        if self.resampling == "residual":
            return self._residual(channels, channels, resample=inside(self.dims))
        return kind(channels, dims=self.dims, learned=self.resampling == "convolution")

    def _residual(self, in_channels: int, out_channels: int, resample: nn.Module | None = None) -> ResBlock:
        return ResBlock(
            in_channels, out_channels, 4 * self.base_channels, dropout=self.dropout, scale_shift=self.scale_shift,
            norm_groups=self.norm_groups, dims=self.dims, resample=resample,
        )  # fmt: skip

    def _attention(self, channels: int, heads: int | None = None) -> AttentionBlock:
        heads = count_heads(
            channels, heads=self.heads if heads is None else heads, channels_per_head=self.channels_per_head
        )
        return AttentionBlock(channels, heads=heads, order=self.attention_order, norm_groups=self.norm_groups)
