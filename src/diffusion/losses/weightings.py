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
        self.gamma = positive_number("gamma", gamma)

    def __call__(self, log_snr: Tensor) -> Tensor:
        return log_snr.exp().clamp(max=self.gamma) * (-log_snr).sigmoid()


class SigmoidWeighting:
    """sigmoid(bias - log-SNR) for the error of eps (Kingma & Gao 2023): a soft min-SNR with gamma = e^bias."""

    def __init__(self, *, bias: float = math.log(5)) -> None:
        self.bias = bias

    def __call__(self, log_snr: Tensor) -> Tensor:
        return (self.bias - log_snr).sigmoid() * log_snr.sigmoid()


class SoftMinSNRWeighting(SigmoidWeighting):
    """SNR gamma / (SNR + gamma) for the error of x_0, a smooth min(SNR, gamma) (Crowson et al. 2024, section 4.2).

    It is the sigmoid weighting of bias log gamma.
    """

    def __init__(self, *, gamma: float = 5.0) -> None:
        super().__init__(bias=math.log(positive_number("gamma", gamma)))
        self.gamma = gamma


class P2Weighting:
    """(k + SNR)^-gamma for the error of eps (Choi et al. 2022): noisy levels, where content forms, count more."""

    def __init__(self, *, k: float = 1.0, gamma: float = 1.0) -> None:
        self.k, self.gamma = positive_number("k", k), positive_number("gamma", gamma)

    def __call__(self, log_snr: Tensor) -> Tensor:
        # k + SNR = e^max (k e^-max + SNR e^-max), so that an infinite SNR weighs nothing instead of not being a number.
        return (-self.gamma * torch.logaddexp(log_snr, torch.full_like(log_snr, math.log(self.k)))).exp() * (
            log_snr.sigmoid()
        )


def positive_number(name: str, value: float) -> float:
    """`value` where it is a positive number; ValueError otherwise."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value} must be a positive number; set diffusion.weighting.{name}=1")
    return value
