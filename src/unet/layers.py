"""The layers that blocks are made of: convolutions, normalisation, and what stays in float32 under autocast."""

from contextlib import AbstractContextManager, nullcontext
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def convolution(in_channels: int, out_channels: int, *, dims: int, kernel: int = 3, halve: bool = False) -> nn.Module:
    """A convolution over `dims` axes that keeps the size, or halves it with stride 2."""
    stride = scale_factors(dims) if halve else (1,) * dims
    return CONVOLUTIONS[dims](in_channels, out_channels, kernel, stride=stride, padding=kernel // 2)


def scale_factors(dims: int) -> tuple[int, ...]:
    """The factor of resampling for each axis: a volume keeps its outer axis."""
    return (2,) * dims if dims < 3 else (1, 2, 2)


def zero(module: nn.Module) -> nn.Module:
    """The module with all of its parameters set to zero, so that its branch starts as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class Pointwise(nn.Conv1d):
    """A 1x1 convolution of tokens, (N, L, C) -> (N, L, C'); its weight has a convolution's shape (C', C, 1)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.device.type != "cpu":
            return F.linear(tokens, self.weight.squeeze(-1), self.bias)
        # A CPU's convolutions are up to twice as fast as its matrix products; tokens lie in memory as pixels do.
        return F.conv2d(tokens.mT.unsqueeze(2), self.weight.unsqueeze(2), self.bias).squeeze(2).mT


class GroupNorm(nn.GroupNorm):
    """Group normalisation that computes in float32 or better, and returns the dtype it was given."""

    def __init__(self, groups: int, channels: int):
        if groups < 1 or channels % groups:
            raise ValueError(
                f"{channels} channels cannot be normalised in {groups} groups; set "
                f"model.norm_groups={gcd(channels, groups)}, or model.base_channels to a multiple of {groups}"
            )
        super().__init__(groups, channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype not in (torch.float16, torch.bfloat16):
            return super().forward(x)
        h = F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        return h.to(x.dtype)


class Head(nn.Sequential):
    """The last layers of a network, in the precision of their weights even under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        # Half precision costs most here: nothing after the last layer averages its rounding away.
        with without_autocast(x):
            return super().forward(x.to(next(self.parameters()).dtype))


def without_autocast(x: Tensor) -> AbstractContextManager:
    """A context in which operations on the device of `x` keep the dtype of their inputs."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
