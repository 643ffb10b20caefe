"""What a network's output means: F = p x_0 + q eps, a pair of numbers at each level.

With x_t = alpha x_0 + sigma eps and det = alpha q - sigma p, an output F determines

    x_0 = (q x_t - sigma F) / det,    eps = (alpha F - p x_t) / det    wherever det is not 0.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from diffusion.process.level import Level, Move, as_factor


class Prediction(ABC):
    """A quantity that the network is trained to name, and that determines x_0 once x_t is known."""

    @abstractmethod
    def pair(self, level: Level) -> tuple[Tensor, Tensor]:
        """p and q, float64, each (N,) or (1,)."""

    def det(self, level: Level) -> Tensor:
        """alpha q - sigma p: an error in F is an error std / (data_std det) times as large in v."""
        p, q = self.pair(level)
        return level.alpha * q - level.sigma * p

    def target(self, level: Level, x_0: Tensor, eps: Tensor) -> Tensor:
        """The true F of the image x_0 and the noise eps, (N, C, ...)."""
        p, q = self.pair(level)
        return as_factor(p, x_0) * x_0 + as_factor(q, x_0) * eps

    def x_0(self, level: Level, output: Tensor, x: Tensor) -> Tensor:
        """The x_0 that `output` implies at x_t."""
        (_, q), det = self.pair(level), self.det(level)
        return as_factor(q / det, x) * x - as_factor(level.sigma / det, x) * output

    def eps(self, level: Level, output: Tensor, x: Tensor) -> Tensor:
        """The noise that `output` implies at x_t, also where x_t is an image and tells nothing of it."""
        (p, _), det = self.pair(level), self.det(level)
        if bool((det == 0).any()):
            raise ValueError(
                f"{type(self).__name__} says nothing of the noise in an image; set diffusion/prediction=velocity"
            )
        return as_factor(level.alpha / det, x) * output - as_factor(p / det, x) * x

    def mean(self, output: Tensor) -> Tensor | None:
        """The mean of p(x_s | x_t), where the network names it itself."""


class Epsilon(Prediction):
    """The noise eps (Ho et al. 2020). It says nothing of x_0 in pure noise: det = alpha."""

    def pair(self, level: Level) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(level.alpha), torch.ones_like(level.alpha)

    def target(self, level: Level, x_0: Tensor, eps: Tensor) -> Tensor:
        return eps


class Start(Prediction):
    """The image x_0 itself. It says little of the noise in a nearly clean one: det = -sigma."""

    def pair(self, level: Level) -> tuple[Tensor, Tensor]:
        return torch.ones_like(level.alpha), torch.zeros_like(level.alpha)

    def target(self, level: Level, x_0: Tensor, eps: Tensor) -> Tensor:
        return x_0

    def x_0(self, level: Level, output: Tensor, x: Tensor) -> Tensor:
        return output


class Velocity(Prediction):
    """v = (alpha s eps - sigma x_0 / s) / std, with s the standard deviation of the data and std that of x_t.

    det = std / s, which is 1 where s is and variance is preserved (Salimans & Ho 2022, section 4). -v is what the
    network of Karras et al. 2022 gives.
    """

    def pair(self, level: Level) -> tuple[Tensor, Tensor]:
        scale = level.data_std
        if scale == 1:
            return -level.sigma / level.std, level.alpha / level.std
        return -level.sigma / (scale * level.std), level.alpha * scale / level.std


class Flow(Prediction):
    """eps - x_0, the velocity of the straight path (Lipman et al. 2023): det = alpha + sigma."""

    def pair(self, level: Level) -> tuple[Tensor, Tensor]:
        one = torch.ones_like(level.alpha)
        return -one, one


class Previous(Prediction):
    """The mean of q(x_{t-1} | x_t, x_0); clipping its x_0 leaves the mean as the network said it."""

    def move(self, level: Level) -> Move:
        if level.below is None:
            raise ValueError(
                "the previous image is a step of a chain, and this level is none; set sampler/spacing=even, or "
                "diffusion/prediction=velocity"
            )
        return Move(level, level.below())

    def pair(self, level: Level) -> tuple[Tensor, Tensor]:
        per_x, per_x_0, _ = self.move(level).coefficients()
        return per_x_0 + per_x * level.alpha, per_x * level.sigma

    def target(self, level: Level, x_0: Tensor, eps: Tensor) -> Tensor:
        return self.move(level).mean(level.x(x_0, eps), x_0)

    def x_0(self, level: Level, output: Tensor, x: Tensor) -> Tensor:
        per_x, per_x_0, _ = self.move(level).coefficients()
        return output / as_factor(per_x_0, x) - as_factor(per_x / per_x_0, x) * x

    def mean(self, output: Tensor) -> Tensor | None:
        return output
