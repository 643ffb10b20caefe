"""How much an error counts at each level, always stated for the squared error of v.

Where variance is preserved, |dv|^2 = |d eps|^2 / alpha^2 = |d x_0|^2 / sigma^2: v is the one space in which a weight
stays finite at both ends. `losses.weights` carries it to what the network predicts.
"""

import math

import torch
from torch import Tensor


class ConstantWeighting:
    """Every error of v alike; the weight of EDM (Karras et al. 2022), and of the bound where log sigma is uniform."""

    def __call__(self, log_snr: Tensor) -> Tensor:
        return torch.ones_like(log_snr)


class MinSNRWeighting:
    """min(SNR, gamma) for the error of x_0 (Hang et al. 2023)."""

    def __init__(self, *, gamma: float = 5.0) -> None:
        if not 0 < gamma < math.inf:
            raise ValueError(f"gamma={gamma} must be a positive number; set diffusion.weighting.gamma=5")
        self.gamma = gamma

    def __call__(self, log_snr: Tensor) -> Tensor:
        return log_snr.exp().clamp(max=self.gamma) * (-log_snr).sigmoid()


class SigmoidWeighting:
    """sigmoid(bias - log-SNR) for the error of eps (Kingma & Gao 2023): a soft min-SNR with gamma = e^bias."""

    def __init__(self, *, bias: float = math.log(5)) -> None:
        self.bias = bias

    def __call__(self, log_snr: Tensor) -> Tensor:
        return (self.bias - log_snr).sigmoid() * log_snr.sigmoid()
