"""Schedules of a process without steps: in which coordinate of the log-SNR its levels lie evenly."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import softplus


class LogSNRSchedule(ABC):
    """u in [0, 1], from clean to noisy, <-> log-SNR, falling from `top` to `bottom`.

    `shift` is added to all of them: 2 log(64 / image size) for larger images (Hoogeboom et al. 2023), 2 log(scale) for
    images that are scaled (Chen 2023).
    """

    def __init__(self, *, top: float = 14.0, bottom: float = -14.0, shift: float = 0.0) -> None:
        if not top > bottom:
            raise ValueError(f"top={top} must lie above bottom={bottom}; set diffusion.schedule.top and bottom")
        self.top, self.bottom, self.shift = top, bottom, shift
        ends = (torch.tensor(end, dtype=torch.float64) for end in (top, bottom))
        self.first, self.last = (float(self.coordinate(end)) for end in ends)
        if not all(map(math.isfinite, (self.first, self.last, shift))):
            raise ValueError(
                f"{type(self).__name__} has no levels between top={top} and bottom={bottom}, shift={shift}; "
                "set diffusion.schedule.top=14 and diffusion.schedule.bottom=-14"
            )

    @abstractmethod
    def coordinate(self, log_snr: Tensor) -> Tensor:
        """In which levels lie evenly: strictly monotone."""

    @abstractmethod
    def inverse(self, coordinate: Tensor) -> Tensor:
        """The log-SNR of a coordinate."""

    def log_snr(self, u: Tensor) -> Tensor:
        return self.inverse(self.first + u * (self.last - self.first)) + self.shift

    def share(self, log_snr: Tensor) -> Tensor:
        """u of log_snr."""
        return (self.coordinate(log_snr - self.shift) - self.first) / (self.last - self.first)


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


class LinearBeta(LogSNRSchedule):
    """beta(u) rises from `start` to `end`: alpha^2 = exp(-start u - (end - start) u^2 / 2) (Song et al. 2021)."""

    def __init__(
        self, *, start: float = 0.1, end: float = 20.0, top: float = 14.0, bottom: float = -14.0, shift: float = 0.0
    ) -> None:
        if not 0 < start < end:
            raise ValueError(f"start={start} must lie between 0 and end={end}; set diffusion.schedule.start and end")
        self.start, self.end = start, end
        super().__init__(top=top, bottom=bottom, shift=shift)

    def coordinate(self, log_snr: Tensor) -> Tensor:
        spent = softplus(-log_snr)
        return 2 * spent / (self.start + (self.start**2 + 2 * (self.end - self.start) * spent).sqrt())

    def inverse(self, coordinate: Tensor) -> Tensor:
        return -(self.start * coordinate + (self.end - self.start) * coordinate**2 / 2).expm1().log()


class SigmoidLogSNR(LogSNRSchedule):
    """alpha^2 falls as a sigmoid between `start` / `tau` and `end` / `tau`, from 1 to 0 (Jabri et al. 2022)."""

    def __init__(
        self, *, start: float = -3.0, end: float = 3.0, tau: float = 1.0, top: float = 14.0, bottom: float = -14.0,
        shift: float = 0.0,
    ) -> None:  # fmt: skip
        if not (start < end and tau > 0):
            raise ValueError(
                f"start={start}, end={end}, tau={tau} make no sigmoid that falls; set diffusion.schedule.start and end"
            )
        self.start, self.end, self.tau = start, end, tau
        super().__init__(top=top, bottom=bottom, shift=shift)

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        low, high = torch.tensor([self.start, self.end], dtype=torch.float64) / self.tau
        return low.sigmoid(), high.sigmoid()

    def coordinate(self, log_snr: Tensor) -> Tensor:
        low, high = self.ends
        return (high - log_snr.sigmoid() * (high - low)).logit() * self.tau

    def inverse(self, coordinate: Tensor) -> Tensor:
        low, high = self.ends
        return ((high - (coordinate / self.tau).sigmoid()) / (high - low)).logit()


class KarrasLogSNR(LogSNRSchedule):
    """Even in (sigma / alpha)^(1 / rho) (Karras et al. 2022, eq. 5)."""

    def __init__(self, *, rho: float = 7.0, top: float = 14.0, bottom: float = -14.0, shift: float = 0.0) -> None:
        if not rho > 0:
            raise ValueError(f"rho={rho} must be above 0; set diffusion.schedule.rho=7")
        self.rho = rho
        super().__init__(top=top, bottom=bottom, shift=shift)

    def coordinate(self, log_snr: Tensor) -> Tensor:
        return (-log_snr / (2 * self.rho)).exp()

    def inverse(self, coordinate: Tensor) -> Tensor:
        return -2 * self.rho * coordinate.log()
