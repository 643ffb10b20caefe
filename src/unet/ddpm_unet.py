"""The U-Net of Ho et al. 2020 as their TensorFlow code computes it: that of `google/ddpm-cifar10-32` and its like."""

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import Downsample, Stage
from .plan import Resolution
from .unet import UNet


class EndPaddedDownsample(Downsample):
    """Half the size by a convolution of stride 2 that sees zeros below and to the right alone."""

    def __init__(self, channels: int):
        super().__init__(channels, dims=2, learned=True)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        conv = self.layer
        assert isinstance(conv, nn.Conv2d)
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, conv.bias, stride=2)


@dataclass(kw_only=True, eq=False, repr=False)
class DDPMUNet(UNet):
    """A UNet whose details are those of TensorFlow: three numbers, under the names that diffusers gives them.

    `downsample_padding` 0 pads at the end instead of on both sides, with `freq_shift` 1 the lowest frequency of the
    time is 1 / 10,000 itself, and `norm_eps` keeps group normalisation from dividing by 0. The others are UNet's.
    """

    downsample_padding: int = 0
    freq_shift: int = 1
    norm_eps: float = 1e-6
    dims: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.trunk.embedding.shift = self.freq_shift
        for module in self.modules():
            if isinstance(module, nn.GroupNorm):
                module.eps = self.norm_eps

    def downsample(self, level: Resolution) -> Stage:
        if self.downsample_padding or self.resampling != "convolution":
            return super().downsample(level)
        return Stage(recompute=level.recomputes, downsample=EndPaddedDownsample(level.channels))
