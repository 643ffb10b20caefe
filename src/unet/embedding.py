"""What the network is told besides the image, as one vector: the time and the label."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import without_autocast


def timestep_embedding(time: Tensor, channels: int, max_period: float = 10_000, *, shift: int = 0) -> Tensor:
    """[cos(w_j time), sin(w_j time)] with w_j = max_period^(-j / (half - shift)), (N,) -> (N, channels), float32.

    Vaswani et al. 2017, section 3.5, but the cosines come first. Times may be fractional; an odd width ends in zeros.
    """
    half = channels // 2
    w = torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float32, device=time.device) / (half - shift))
    angles = time.float()[:, None] * w
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, channels % 2))


class ConditionEmbedding(nn.Module):
    """(time, y, augmentation) -> the activated vector that every residual block reads, (N, 4 * channels).

    `numbers` (N, numbers) enter by a linear layer without bias, so that zeros leave the rest as it is. `shift` is that
    of `timestep_embedding`.
    """

    def __init__(self, channels: int, num_classes: int | None, numbers: int = 0):
        super().__init__()
        self.channels = channels
        self.shift = 0
        self.num_classes = num_classes
        self.width = 4 * channels
        self.time = nn.Sequential(nn.Linear(channels, self.width), nn.SiLU(), nn.Linear(self.width, self.width))
        self.label = None if num_classes is None else nn.Embedding(num_classes, self.width)
        self.numbers = nn.Linear(numbers, self.width, bias=False) if numbers else None

    def forward(self, time: Tensor, y: Tensor | None = None, numbers: Tensor | None = None) -> Tensor:
        self._check_labels(y)
        with without_autocast(time):
            emb = timestep_embedding(time, self.channels, shift=self.shift)
            emb = self.time(emb.to(next(self.parameters()).dtype))
            if self.label is not None:
                emb = emb + self.label(y)
            if self.numbers is not None:
                if numbers is None:
                    raise ValueError("the network is told of augmentation; pass it, zeros for images as they are")
                emb = emb + self.numbers(numbers.to(emb))
            return F.silu(emb)

    def _check_labels(self, y: Tensor | None) -> None:
        if y is None and self.num_classes is None:
            return
        if y is None:
            raise ValueError(
                f"the network is conditional on {self.num_classes} classes and got no labels; "
                "pass y, or set model.num_classes=null"
            )
        if self.num_classes is None:
            raise ValueError("the network is unconditional and got labels; leave y out, or set model.num_classes=...")
        # Elsewhere than on the CPU, looking at the values would make the host wait for the device.
        if y.device.type == "cpu" and not torch.compiler.is_compiling() and ((y < 0) | (y >= self.num_classes)).any():
            raise ValueError(
                f"labels lie in {y.min()}..{y.max()}, the network knows 0..{self.num_classes - 1}; "
                "count the labels from 0, and set model.num_classes=... to their number"
            )
