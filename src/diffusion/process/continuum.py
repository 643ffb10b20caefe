"""Processes without steps: every log-SNR is a level, and a path says its alpha and sigma."""

import math
from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from diffusion.process.level import Level
from diffusion.process.log_snr import LogSNRSchedule
from diffusion.process.process import MOST_STEPS, Process
from diffusion.process.respacing import Steps

STEPS = 50


class NoisePath(ABC):
    """Which of all alpha and sigma of one log-SNR: log-SNR = log(alpha^2 / sigma^2)."""

    data_std: float = 1.0
    """The standard deviation of the data that it is made for."""
    scales_input: bool = False
    """Whether a network sees x_t divided by its standard deviation."""

    @abstractmethod
    def alpha_sigma(self, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma, each float64 (N,)."""


class VariancePreserving(NoisePath):
    """alpha^2 data_std^2 + sigma^2 = 1 (Kingma et al. 2021; with data_std = 0.5 the network of Karras et al. 2022)."""

    def __init__(self, *, data_std: float = 1.0) -> None:
        self.data_std = positive(data_std)

    def alpha_sigma(self, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        if self.data_std == 1:
            return log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
        own = log_snr + 2 * math.log(self.data_std)
        return own.sigmoid().sqrt() / self.data_std, (-own).sigmoid().sqrt()


class Straight(NoisePath):
    """alpha + sigma = 1: flow matching, rectified flow (Lipman et al. 2023; Liu et al. 2023)."""

    def alpha_sigma(self, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        return (log_snr / 2).sigmoid(), (-log_snr / 2).sigmoid()


class Exploding(NoisePath):
    """alpha = 1, as the papers on score matching write it (Song et al. 2021; Karras et al. 2022).

    The network sees x_t divided by its standard deviation, c_in x_t; at one log-SNR the path that preserves variance is
    this one, rescaled.
    """

    scales_input = True

    def __init__(self, *, data_std: float = 0.5) -> None:
        self.data_std = positive(data_std)

    def alpha_sigma(self, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(log_snr), (-log_snr / 2).exp()


def positive(data_std: float) -> float:
    """`data_std` where it is a standard deviation; ValueError otherwise."""
    if not 0 < data_std < math.inf:
        raise ValueError(f"data_std={data_std} must be a positive number; set diffusion.path.data_std=0.5")
    return data_std


class Continuum(Process):
    """Every log-SNR is a level, and `t` is the log-SNR itself.

    `schedule` says in which coordinate the levels lie evenly: the shares of the way, and with it what the network is
    told, 1000 times the share. `path` says alpha and sigma.
    """

    bins = 100

    def __init__(self, schedule: LogSNRSchedule, path: NoisePath) -> None:
        self.schedule, self.path = schedule, path

    def level(self, t: Tensor) -> Level:
        alpha, sigma = self.path.alpha_sigma(t)
        time, data_std = (1000 * self.share(t)).float(), self.path.data_std
        level = Level(alpha, sigma, time, at=self.level, data_std=data_std)
        return replace(level, c_in=1 / level.std) if self.path.scales_input else level

    def t(self, u: Tensor) -> Tensor:
        return self.schedule.log_snr(u)

    def share(self, t: Tensor) -> Tensor:
        return self.schedule.share(t).clamp(0, 1)

    def nearest(self, log_snr: Tensor) -> Tensor:
        return log_snr

    def at(self, log_snr: Tensor) -> Tensor:
        shift = self.schedule.shift
        return log_snr.clamp(self.schedule.bottom + shift, self.schedule.top + shift)

    def evenly(self, steps: Steps) -> Tensor:
        count = STEPS if steps is None else steps
        if isinstance(count, str) and count.isdigit():
            count = int(count)
        if not isinstance(count, int) or not 1 <= count <= MOST_STEPS:
            raise ValueError(
                f"sampler.steps={steps} cannot cut a process without steps; give a number from 1 to {MOST_STEPS}"
            )
        return self.t(torch.linspace(1, 0, count, dtype=torch.float64))

    def walk(self, t: Tensor) -> list[Level]:
        return [*(self.level(one) for one in t.split(1)), self.image()]
