"""A weighting that is learned beside the network: how much error is to be expected at each level."""

import math

import torch
from torch import Tensor, nn

FREQUENCIES = 64
REACH = 30.0  # beyond this log-SNR all levels are one


class LearnedUncertainty(nn.Module):
    """An error of v counts e^-u, and u is added to the loss (Karras et al. 2024, eq. 21).

    u(log-SNR) learns log E[error], so that every level contributes gradients of one size. It is a linear map of fixed
    random Fourier features, 0 at first, trained by the network's optimizer; what is drawn with knows nothing of it.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self) -> None:
        super().__init__()
        chance = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", torch.randn(FREQUENCIES, generator=chance) / 4, persistent=False)
        self.register_buffer("phases", 2 * math.pi * torch.rand(FREQUENCIES, generator=chance), persistent=False)
        self.weight = nn.Parameter(torch.zeros(FREQUENCIES))

    def penalty(self, log_snr: Tensor) -> Tensor:
        """u at log_snr (N,), in float32 whatever the network computes in: what is added to the loss."""
        place = log_snr.float().clamp(-REACH, REACH)[:, None]
        features = math.sqrt(2) * (place * self.frequencies + self.phases).cos()
        # Not a matrix product, which autocast would round to half precision.
        return (features * self.weight).sum(1) / math.sqrt(FREQUENCIES)

    def forward(self, log_snr: Tensor) -> Tensor:
        return (-self.penalty(log_snr)).exp()
