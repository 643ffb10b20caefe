import torch
from torch import Tensor

from diffusion import Drawn, Process, ScheduleSampler


class LogitNormal(ScheduleSampler):
    """The share of the way is sigmoid(mean + std z), z standard normal (Esser et al. 2024)."""

    def __init__(self, *, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean, self.std = mean, std

    def draw(self, u: Tensor, process: Process) -> Drawn:
        share = torch.sigmoid(self.mean + self.std * torch.special.ndtri(u.double().clamp(1e-6, 1 - 1e-6)))
        return Drawn(process.t(share), torch.ones_like(u))
