import torch
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Three convolutions that know nothing of classes; the mean of what they saw is a buffer."""

    def __init__(self, in_channels: int, out_channels: int, width: int = 16):
        super().__init__()
        self.first = nn.Conv2d(in_channels + 1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Sequential(
            nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, out_channels, 1)
        )
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        told = (time / 1000).view(-1, 1, 1, 1).to(x).expand(-1, 1, *x.shape[2:])
        return self.last(self.norm(self.first(torch.cat([x, told], dim=1))))
