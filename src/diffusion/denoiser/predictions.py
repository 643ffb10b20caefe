"""What the network's output means, and the way from it back to x_0."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from diffusion.process.chain import ForwardProcess


class Prediction(ABC):
    """A quantity that the network is trained to name, and that determines x_0 once x_t is known."""

    @abstractmethod
    def target(self, process: ForwardProcess, x_0: Tensor, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The true value, (N, C, ...)."""

    @abstractmethod
    def x_0(self, process: ForwardProcess, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The x_0 that `output` implies."""

    def mean(self, process: ForwardProcess, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The mean of p(x_{t-1} | x_t), given the (perhaps clipped) x_0 that `output` implies."""
        return process.posterior_mean(x_0, x_t, t)


class Epsilon(Prediction):
    """The noise eps (Ho et al. 2020)."""

    def target(self, process, x_0, x_t, eps, t):
        return eps

    def x_0(self, process, output, x_t, t):
        return process.x_0_from_eps(output, x_t, t)


class Start(Prediction):
    """The clean image x_0 itself."""

    def target(self, process, x_0, x_t, eps, t):
        return x_0

    def x_0(self, process, output, x_t, t):
        return output


class Velocity(Prediction):
    """v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans & Ho 2022, section 4)."""

    def target(self, process, x_0, x_t, eps, t):
        return process.signal.at(t, x_t) * eps - process.noise.at(t, x_t) * x_0

    def x_0(self, process, output, x_t, t):
        return process.signal.at(t, x_t) * x_t - process.noise.at(t, x_t) * output


class Previous(Prediction):
    """The mean of q(x_{t-1} | x_t, x_0); clipping its x_0 leaves the mean as the network said it."""

    def target(self, process, x_0, x_t, eps, t):
        return process.posterior_mean(x_0, x_t, t)

    def x_0(self, process, output, x_t, t):
        per_x_0, per_x_t = process.mean_per_x_0.at(t, x_t), process.mean_per_x_t.at(t, x_t)
        return output / per_x_0 - per_x_t / per_x_0 * x_t

    def mean(self, process, output, x_0, x_t, t):
        return output
