"""A level between image and noise, and the Gaussian steps that lead from one level to another.

x_t = alpha x_0 + sigma eps; SNR = alpha^2 / sigma^2. A step from level t to level s needs the two levels alone: with
ratio = SNR_t / SNR_s,

    q(x_s | x_t, x_0) = N(per_x x_t + per_x_0 x_0, variance),    per_x = sigma_s / sigma_t sqrt(ratio),
    per_x_0 = alpha_s - alpha_t per_x,                            variance = sigma_s^2 (1 - ratio)

(Nichol & Dhariwal 2021, eqs. 10 and 11, for neighbours of a chain; Kingma et al. 2021, appendix A, for any two levels).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.compute.device import to_device


def as_factor(values: Tensor, x: Tensor) -> Tensor:
    """`values`, float64 (N,) or (1,), in the precision of x (N, C, ...) and shaped to multiply it."""
    precision = torch.promote_types(x.dtype, torch.float32)
    return to_device(values.to(precision), x.device).view(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class Level:
    """x_t = alpha x_0 + sigma eps, one level for each image, float64 (N,), or (1,) for all alike.

    `time` is what the network is told there. `below`, on a chain, gives the neighbouring level nearer to the image;
    `at` gives the level of another log-SNR in the same process. `data_std` is the standard deviation of the data that
    the process was made for, and `c_in` what a network's x_t is multiplied by where that is not 1.
    """

    alpha: Tensor
    sigma: Tensor
    time: Tensor
    below: Callable[[], "Level"] | None = None
    at: Callable[[Tensor], "Level"] | None = None
    data_std: float = 1.0
    c_in: Tensor | None = None

    @property
    def log_snr(self) -> Tensor:
        """lambda = log(alpha^2 / sigma^2): inf for an image, -inf for pure noise."""
        return 2 * (self.alpha.log() - self.sigma.log())

    @property
    def std(self) -> Tensor:
        """The standard deviation of x_t where that of the data is `data_std`; x_T is drawn with it."""
        alpha = self.alpha if self.data_std == 1 else self.alpha * self.data_std
        return (alpha**2 + self.sigma**2).sqrt()

    def x(self, x_0: Tensor, eps: Tensor) -> Tensor:
        """x_t of the image x_0 and the noise eps, (N, C, ...)."""
        return as_factor(self.alpha, x_0) * x_0 + as_factor(self.sigma, x_0) * eps

    def eps(self, x: Tensor, x_0: Tensor) -> Tensor:
        """The noise by which the image x_0 becomes x_t."""
        return (x - as_factor(self.alpha, x) * x_0) / as_factor(self.sigma, x)


class Coefficients(NamedTuple):
    """x_s = per_x x_t + per_x_0 x_0 + std z, each float64 (N,) or (1,)."""

    per_x: Tensor
    per_x_0: Tensor
    std: Tensor

    def mean(self, x: Tensor, x_0: Tensor) -> Tensor:
        return as_factor(self.per_x_0, x) * x_0 + as_factor(self.per_x, x) * x


class Move(NamedTuple):
    """From level `here` to level `there`, towards the image (or, without noise, away from it).

    A move that arrives at the image has no variance of its own: its logarithm is that of `floor`, float64 (1,), where
    one is given (Nichol & Dhariwal 2021: the variance of the move before).
    """

    here: Level
    there: Level
    floor: Tensor | None = None

    @property
    def ratio(self) -> Tensor:
        """SNR_t / SNR_s: between 0 (from pure noise, or to the image) and 1."""
        return (self.here.alpha * self.there.sigma / (self.there.alpha * self.here.sigma)) ** 2

    @property
    def h(self) -> Tensor:
        """The solvers' step in log(alpha / sigma), positive towards the image; infinite from pure noise or to it."""
        return (self.there.log_snr - self.here.log_snr) / 2

    @property
    def variance(self) -> Tensor:
        """Of q(x_s | x_t, x_0): beta tilde."""
        return self.there.sigma**2 * (1 - self.ratio)

    @property
    def upper(self) -> Tensor:
        """Of q(x_t | x_s): beta."""
        return self.here.sigma**2 * (1 - self.ratio)

    def arriving(self, variance: Tensor) -> Tensor:
        """`variance`, and the floor where the move ends at the image."""
        return variance if self.floor is None else torch.where(self.there.sigma == 0, self.floor, variance)

    def coefficients(self, eta: float = 1.0) -> Coefficients:
        """Of a step with `eta` times the posterior's standard deviation, as much noise of x_t being kept as preserves
        the marginal (Song et al. 2021, eq. 12): q(x_s | x_t, x_0) at eta = 1, DDIM at eta = 0."""
        std = self.there.sigma * eta * (1 - self.ratio).sqrt() if eta else torch.zeros_like(self.there.sigma)
        # Rounding must not take what is left for eps below 0.
        kept = ((1 - eta**2) + eta**2 * self.ratio).clamp(min=0).sqrt() if eta else 1.0
        per_x = self.there.sigma / self.here.sigma * kept
        return Coefficients(per_x, self.there.alpha - self.here.alpha * per_x, std)

    def mean(self, x: Tensor, x_0: Tensor) -> Tensor:
        """The mean of q(x_s | x_t, x_0)."""
        return self.coefficients().mean(x, x_0)


def moves(levels: Sequence[Level]) -> list[Move]:
    """Level after level; the last move, where it ends at the image, has the variance of the one before as its floor,
    or its own beta where it is the only one."""
    pairs = [Move(here, there) for here, there in pairwise(levels)]
    if not pairs or bool(levels[-1].sigma > 0):
        return pairs
    floor = pairs[-2].variance if len(pairs) > 1 else pairs[-1].upper
    return [*pairs[:-1], pairs[-1]._replace(floor=floor)]
