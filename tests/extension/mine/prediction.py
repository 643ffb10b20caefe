import torch
from torch import Tensor

from diffusion import Level, Prediction


class ScaledScore(Prediction):
    """-eps: the score of x_t times its sigma (Song et al. 2021)."""

    def pair(self, level: Level) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(level.alpha), -torch.ones_like(level.alpha)
