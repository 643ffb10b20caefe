"""The blocks of a U-Net. Each is called with a feature map and the embedding, whether it needs the embedding or not."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .layers import GroupNorm, convolution, scale_factors, zero

POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def shrink(dims: int) -> nn.Module:
    """Average pooling to half the size."""
    return POOLS[dims](scale_factors(dims))


def grow(dims: int) -> nn.Module:
    """Nearest-neighbour upsampling to twice the size."""
    return nn.Upsample(scale_factor=tuple(float(factor) for factor in scale_factors(dims)), mode="nearest")


class ResBlock(nn.Module):
    """skip(x) + conv(conv(x), conditioned on emb). (N, C, ...), (N, E) -> (N, C', ...).

    The embedding becomes a scale and a shift of the second normalisation (Nichol & Dhariwal 2021, appendix A), or is
    added before it. With a `resample` layer, both branches change the size before their first convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        *,
        dropout: float,
        scale_shift: bool,
        norm_groups: int,
        dims: int,
        resample: nn.Module | None = None,
    ):
        super().__init__()
        self.scale_shift = scale_shift
        self.unit_axes = (1,) * dims
        self.resample = resample or nn.Identity()
        self.norm_1 = GroupNorm(norm_groups, in_channels)
        self.conv_1 = convolution(in_channels, out_channels, dims=dims)
        self.condition = nn.Linear(emb_channels, (2 if scale_shift else 1) * out_channels)
        self.norm_2 = GroupNorm(norm_groups, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = zero(convolution(out_channels, out_channels, dims=dims))
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else convolution(in_channels, out_channels, dims=dims, kernel=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv_1(self.resample(F.silu(self.norm_1(x))))
        condition = self.condition(emb).unflatten(1, (-1, *self.unit_axes))
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm_2(h), 1 + scale)
        else:
            h = self.norm_2(h + condition)
        return self.skip(self.resample(x)) + self.conv_2(self.dropout(F.silu(h)))


class Downsample(nn.Module):
    """Half the size: a convolution of stride 2, or average pooling where nothing is `learned`."""

    def __init__(self, channels: int, *, dims: int, learned: bool):
        super().__init__()
        self.layer = convolution(channels, channels, dims=dims, halve=True) if learned else shrink(dims)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.layer(x)


class Upsample(nn.Module):
    """Twice the size by nearest neighbours, then a convolution if `learned`."""

    def __init__(self, channels: int, *, dims: int, learned: bool):
        super().__init__()
        self.grow = grow(dims)
        self.conv = convolution(channels, channels, dims=dims) if learned else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.conv(self.grow(x))


class Stage(nn.Module):
    """Named blocks, one after the other. With `recompute`, backward computes the activations between them again."""

    def __init__(self, *, recompute: bool, **blocks: nn.Module):
        super().__init__()
        self.recompute = recompute
        for name, block in blocks.items():
            self.add_module(name, block)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            # The state of the random generator is kept and restored: dropout drops the same activations again.
            return checkpoint(self._run, x, emb, use_reentrant=False)
        return self._run(x, emb)

    def _run(self, x: Tensor, emb: Tensor) -> Tensor:
        for block in self.children():
            x = block(x, emb)
        return x
