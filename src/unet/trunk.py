"""The down half of a U-Net and its middle: all that a classifier needs, and where a U-Net turns."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from .embedding import ConditionEmbedding
from .fourier import FourierFeatures
from .layers import convolution
from .plan import Planned


class Descent(NamedTuple):
    """What the way down leaves for the way up."""

    skips: list[Tensor]
    middle: Tensor
    emb: Tensor


class Trunk(nn.Module):
    """(x, time, y) -> Descent, with one skip for the first convolution and one for each stage going down."""

    def __init__(
        self, plan: Planned, in_channels: int, num_classes: int | None = None, *, numbers: int = 0,
        fourier_features: Sequence[int] = (),
    ):  # fmt: skip
        super().__init__()
        self.in_channels = in_channels
        self.dims = plan.dims
        self.stride = plan.stride
        channels = plan.levels[0].channels
        self.embedding = ConditionEmbedding(plan.base_channels, num_classes, numbers)
        self.features = FourierFeatures(fourier_features)
        self.stem = convolution(self.features.count(in_channels), channels, dims=plan.dims)
        self.skip_channels = [channels]
        self.down = nn.ModuleList()
        for level in plan.levels:
            for _ in range(plan.blocks_per_level):
                self.down.append(plan.stage(level, channels))
                self.skip_channels.append(channels := level.channels)
            if level is not plan.levels[-1]:
                self.down.append(plan.downsample(level))
                self.skip_channels.append(channels)
        self.middle = plan.middle()

    def forward(self, x: Tensor, time: Tensor, y: Tensor | None = None, numbers: Tensor | None = None) -> Descent:
        self._check_shapes(x, time, y)
        emb = self.embedding(time, y, numbers)
        h = self.stem(self.features(x))
        skips = [h]
        for stage in self.down:
            h = stage(h, emb)
            skips.append(h)
        return Descent(skips, self.middle(h, emb), emb)

    def _check_shapes(self, x: Tensor, time: Tensor, y: Tensor | None) -> None:
        shape = tuple(x.shape)
        if x.ndim != self.dims + 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {shape}, the network reads (N, {self.in_channels}, ...) with {self.dims} axes after the "
                "channels; set model.in_channels and model.dims to fit the data"
            )
        resampled = shape[max(2, x.ndim - 2) :]
        if any(size % self.stride for size in resampled):
            raise ValueError(
                f"x of size {' x '.join(map(str, resampled))} cannot be halved down to the last level; "
                f"pad or crop it to multiples of {self.stride}, or set fewer levels in model.channel_mult"
            )
        if time.shape != x.shape[:1]:
            raise ValueError(f"time has shape {tuple(time.shape)}; pass one for each image: ({x.shape[0]},)")
        if y is not None and y.shape != x.shape[:1]:
            raise ValueError(f"labels y have shape {tuple(y.shape)}; pass one for each image: ({x.shape[0]},)")
