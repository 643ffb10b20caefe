"""Schedules of a process without steps: in which coordinate of the log-SNR its levels lie evenly."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class LogSNRSchedule(ABC):
    """u in [0, 1], from clean to noisy, <-> log-SNR, falling from `top` to `bottom`."""

    def __init__(self, *, top: float = 14.0, bottom: float = -14.0) -> None:
        if not top > bottom:
            raise ValueError(f"top={top} must lie above bottom={bottom}; set diffusion.schedule.top and bottom")
        self.top, self.bottom = top, bottom
        ends = (torch.tensor(end, dtype=torch.float64) for end in (top, bottom))
        self.first, self.last = (float(self.coordinate(end)) for end in ends)

    @abstractmethod
    def coordinate(self, log_snr: Tensor) -> Tensor:
        """In which levels lie evenly: strictly monotone."""

    @abstractmethod
    def inverse(self, coordinate: Tensor) -> Tensor:
        """The log-SNR of a coordinate."""

    def log_snr(self, u: Tensor) -> Tensor:
        return self.inverse(self.first + u * (self.last - self.first))

    def share(self, log_snr: Tensor) -> Tensor:
        """u of log_snr."""
        return (self.coordinate(log_snr) - self.first) / (self.last - self.first)


class EvenLogSNR(LogSNRSchedule):
    """Even in the log-SNR itself (Kingma et al. 2021)."""

    def coordinate(self, log_snr: Tensor) -> Tensor:
        return -log_snr

    def inverse(self, coordinate: Tensor) -> Tensor:
        return -coordinate


class CosineLogSNR(LogSNRSchedule):
    """alpha = cos(pi u / 2) of a path that preserves variance (Nichol & Dhariwal 2021, without the offset)."""

    def coordinate(self, log_snr: Tensor) -> Tensor:
        return (-log_snr / 2).exp().atan() * 2 / math.pi

    def inverse(self, coordinate: Tensor) -> Tensor:
        return -2 * (math.pi / 2 * coordinate).tan().log()


class StraightTime(LogSNRSchedule):
    """sigma = u of the straight path (flow matching)."""

    def coordinate(self, log_snr: Tensor) -> Tensor:
        return (-log_snr / 2).sigmoid()

    def inverse(self, coordinate: Tensor) -> Tensor:
        return -2 * coordinate.logit()
