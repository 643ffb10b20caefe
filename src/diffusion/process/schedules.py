"""Noise schedules: a shape. How many steps it is cut into belongs to the process."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Schedule(Protocol):
    """Anything that gives the variances beta_0 .. beta_{T-1} of T noising steps."""

    def betas(self, steps: int) -> Tensor:
        """float64, (steps,), each in (0, 1]."""


class Linear:
    """beta_t rises in equal steps, scaled by 1000 / T so that every T ends at the same noise (Ho et al. 2020).

    The last beta is `end` * 1000 / T, so with the defaults T must be above 20.
    """

    def __init__(self, *, start: float = 1e-4, end: float = 0.02) -> None:
        self.start, self.end = start, end

    def betas(self, steps: int) -> Tensor:
        scale = 1000 / steps
        return torch.linspace(scale * self.start, scale * self.end, steps, dtype=torch.float64)


class Cosine:
    """alpha_bar(t) = cos^2((t / T + s) / (1 + s) * pi / 2), scaled to 1 at t = 0 (Nichol & Dhariwal 2021, eq. 17).

    `max_beta` keeps the last step from destroying everything at once; with the defaults only that step is clipped.
    """

    def __init__(self, *, offset: float = 0.008, max_beta: float = 0.999) -> None:
        self.offset, self.max_beta = offset, max_beta

    def betas(self, steps: int) -> Tensor:
        u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        alpha_bar = torch.cos((u + self.offset) / (1 + self.offset) * math.pi / 2) ** 2
        return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=self.max_beta)


class ScaledLinear:
    """sqrt(beta_t) rises in equal steps; what latent diffusion trains with (Rombach et al. 2022)."""

    def __init__(self, *, start: float = 0.00085, end: float = 0.012) -> None:
        if not min(start, end) > 0:
            raise ValueError(f"start={start} and end={end} must be above 0; set diffusion.schedule.start and end")
        self.start, self.end = start, end

    def betas(self, steps: int) -> Tensor:
        scale = 1000 / steps
        return torch.linspace((scale * self.start) ** 0.5, (scale * self.end) ** 0.5, steps, dtype=torch.float64) ** 2


class Sigmoid:
    """alpha_bar falls as a sigmoid between `start` / `tau` and `end` / `tau`, from 1 to 0 (Jabri et al. 2022).

    `max_beta` keeps the last step from destroying everything at once.
    """

    def __init__(self, *, start: float = -3.0, end: float = 3.0, tau: float = 1.0, max_beta: float = 0.999) -> None:
        if not (start < end and tau > 0):
            raise ValueError(
                f"start={start}, end={end}, tau={tau} make no sigmoid that falls; set diffusion.schedule.start and end"
            )
        self.start, self.end, self.tau, self.max_beta = start, end, tau, max_beta

    def betas(self, steps: int) -> Tensor:
        reached = torch.linspace(self.start / self.tau, self.end / self.tau, steps + 1, dtype=torch.float64).sigmoid()
        alpha_bar = (reached[-1] - reached) / (reached[-1] - reached[0])
        return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(min=0, max=self.max_beta)


class ListedBetas:
    """The betas themselves, one for each step, such as those that a network of another program was trained with."""

    def __init__(self, *, values: Sequence[float]) -> None:
        self.values = values

    def betas(self, steps: int) -> Tensor:
        if len(self.values) != steps:
            raise ValueError(
                f"{len(self.values)} betas are listed for {steps} steps; set diffusion.steps to their number"
            )
        return torch.tensor(list(self.values), dtype=torch.float64)


class ScheduleTransform(ABC):
    """The schedule `of` with another alpha_bar at each step."""

    def __init__(self, *, of: Schedule) -> None:
        self.of = of

    @abstractmethod
    def alpha_bar(self, alpha_bar: Tensor) -> Tensor:
        """That of the T steps, float64 (T,), made of the other's."""

    def betas(self, steps: int) -> Tensor:
        alpha_bar = self.alpha_bar(torch.cumprod(1 - self.of.betas(steps), 0))
        return 1 - alpha_bar / torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])


class ZeroTerminal(ScheduleTransform):
    """sqrt(alpha_bar) shifted and scaled, so that the last step leaves pure noise and the first one is as it was.

    Lin et al. 2024, algorithm 1. Predict the velocity, the flow or the start with it, and draw with
    `sampler/spacing=trailing`.
    """

    def alpha_bar(self, alpha_bar: Tensor) -> Tensor:
        root = alpha_bar.sqrt()
        return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


class Shifted(ScheduleTransform):
    """log-SNR lower by 2 log(image_size / base_size), as larger images need more noise (Hoogeboom et al. 2023)."""

    def __init__(self, *, of: Schedule, image_size: int, base_size: int = 64) -> None:
        super().__init__(of=of)
        if min(image_size, base_size) < 1:
            raise ValueError(
                f"image_size={image_size}, base_size={base_size} must be at least 1; set diffusion.schedule.image_size"
            )
        self.image_size, self.base_size = image_size, base_size

    def alpha_bar(self, alpha_bar: Tensor) -> Tensor:
        return (alpha_bar.logit() - 2 * math.log(self.image_size / self.base_size)).sigmoid()
