"""Laws of levels that are distributions of the log-SNR, whatever the process: a chain takes its nearest step."""

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from diffusion.compute.randomness import HALF_CELL
from diffusion.losses.schedule_samplers import Drawn, ScheduleSampler
from diffusion.process.process import Process


class LogSNRLaw(ScheduleSampler):
    """The log-SNR of a level at the share u of its distribution, counted from the cleanest.

    What is drawn more often counts more: losses are not weighted to make up for it.
    """

    def __init__(self, *, stratified: bool = True) -> None:
        self.stratified = stratified

    @abstractmethod
    def log_snr(self, u: Tensor) -> Tensor:
        """The log-SNR above which a share u in (0, 1) of the levels lies, float64 (N,) -> (N,)."""

    def draw(self, u: Tensor, process: Process) -> Drawn:
        # A random number in float32 may be 0; the middle of its cell is not, and no tail is cut off.
        inside = u.double() + HALF_CELL if u.dtype == torch.float32 else u
        return Drawn(process.nearest(self.log_snr(inside)), torch.ones_like(u, dtype=torch.float32))


class Normal(LogSNRLaw):
    """log-SNR ~ N(mean, std^2).

    The defaults are EDM's for images in [-1, 1], log sigma ~ N(-1.2, 1.2^2) (Karras et al. 2022, table 1), as log-SNR
    is -2 log sigma. On any path it is that of the images as they are: of images divided by their standard deviation,
    0.5, the same law has mean = 2.4 + 2 log 0.5 = 1.014.
    """

    def __init__(self, *, mean: float = 2.4, std: float = 2.4, stratified: bool = True) -> None:
        super().__init__(stratified=stratified)
        self.mean, self.std = finite_mean(mean), positive_spread("std", std)

    def log_snr(self, u: Tensor) -> Tensor:
        return self.mean - self.std * torch.special.ndtri(u)


class LogitNormal(Normal):
    """The time of the straight path, its sigma, is the sigmoid of N(mean, std^2) (Esser et al. 2024, section 3.1).

    So log-SNR ~ N(-2 mean, (2 std)^2), on any path.
    """

    def __init__(self, *, mean: float = 0.0, std: float = 1.0, stratified: bool = True) -> None:
        super().__init__(mean=-2 * mean, std=2 * positive_spread("std", std), stratified=stratified)


class Laplace(LogSNRLaw):
    """log-SNR has the density exp(-|log-SNR - mean| / scale) / (2 scale) (Hang & Gu 2024)."""

    def __init__(self, *, mean: float = 0.0, scale: float = 0.5, stratified: bool = True) -> None:
        super().__init__(stratified=stratified)
        self.mean, self.scale = finite_mean(mean), positive_spread("scale", scale)

    def log_snr(self, u: Tensor) -> Tensor:
        return self.mean - self.scale * (u - 0.5).sign() * -(-2 * (u - 0.5).abs()).log1p()


class LogSigma(LogSNRLaw):
    """log sigma of the path that preserves variance is uniform, between the log-SNR `top` and `bottom`.

    The variational bound is then the plain error of v (Zheng et al. 2023, section 4.3).
    """

    def __init__(self, *, top: float = 13.3, bottom: float = -5.0, stratified: bool = True) -> None:
        super().__init__(stratified=stratified)
        if not math.inf > top > bottom > -math.inf:
            raise ValueError(f"top={top} must lie above bottom={bottom}; set train.schedule_sampler.top and bottom")
        self.top, self.bottom = top, bottom

    def log_snr(self, u: Tensor) -> Tensor:
        ends = torch.tensor([self.top, self.bottom], dtype=torch.float64)
        clean, noisy = (logsigmoid(-ends) / 2).tolist()
        log_sigma = torch.lerp(u.new_full((), clean), u.new_full((), noisy), u)
        return (-(2 * log_sigma).expm1()).log() - 2 * log_sigma


class Mixture(LogSNRLaw):
    """A `share` of the levels by the law `second`, the others by the law `first`.

    With `LogSigma` as the second, a network learns the clean end, which decides bits/dim, beside what pictures need.
    """

    def __init__(self, first: LogSNRLaw, second: LogSNRLaw, *, share: float = 0.3, stratified: bool = True) -> None:
        super().__init__(stratified=stratified)
        if not 0 < share < 1:
            raise ValueError(f"share={share} must lie between 0 and 1; set train.schedule_sampler.share=0.3")
        for name, law in (("first", first), ("second", second)):
            if not isinstance(law, LogSNRLaw):
                raise ValueError(
                    f"{name} is {type(law).__name__}, which is no law of the log-SNR; set "
                    f"train/schedule_sampler@train.schedule_sampler.{name}=normal"
                )
            if not law.stratified:
                raise ValueError(
                    f"{name}.stratified=false says nothing in a mixture, which is drawn as a whole; "
                    "set train.schedule_sampler.stratified=false"
                )
        self.first, self.second, self.share = first, second, share

    def log_snr(self, u: Tensor) -> Tensor:
        """The law at u, even in (0, 1): in two pieces, each of which falls."""
        inside = (u / self.share).clamp(max=1 - HALF_CELL), ((u - self.share) / (1 - self.share)).clamp(min=HALF_CELL)
        return torch.where(u < self.share, self.second.log_snr(inside[0]), self.first.log_snr(inside[1]))


def finite_mean(value: float) -> float:
    """`value` where it is a number; ValueError otherwise."""
    if not math.isfinite(value):
        raise ValueError(f"mean={value} must be a number; set train.schedule_sampler.mean=0")
    return value


def positive_spread(name: str, value: float) -> float:
    """`value` where it is a spread; ValueError otherwise."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value} must be a positive number; set train.schedule_sampler.{name}=1")
    return value
