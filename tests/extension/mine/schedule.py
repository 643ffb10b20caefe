import torch
from torch import Tensor


class Quadratic:
    """alpha_bar(t) = (1 - (t / T)^power)^2, kept above `least`."""

    def __init__(self, *, power: float = 2.0, least: float = 1e-4) -> None:
        self.power, self.least = power, least

    def betas(self, steps: int) -> Tensor:
        u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        alpha_bar = (1 - u**self.power).square().clamp(min=self.least)
        return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(min=1e-6)
