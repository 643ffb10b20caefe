"""The variance of p(x_{t-1} | x_t)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from diffusion.process.chain import ForwardProcess


class Variance(ABC):
    """`outputs` says how many channels, per image channel, the network gives to the variance: 0 or 1."""

    outputs: int

    @abstractmethod
    def log_variance(self, process: ForwardProcess, raw: Tensor, t: Tensor, like: Tensor) -> Tensor:
        """log variance, of the shape of `like`; `raw` (N, outputs * C, ...) is the network's share."""

    def variance(self, process: ForwardProcess, raw: Tensor, t: Tensor, like: Tensor) -> Tensor:
        return self.log_variance(process, raw, t, like).exp()


class FixedSmall(Variance):
    """beta tilde, the variance of q(x_{t-1} | x_t, x_0): right if the data were one point."""

    outputs = 0

    def log_variance(self, process, raw, t, like):
        return process.posterior_log_variance.at(t, like).expand_as(like)

    def variance(self, process, raw, t, like):
        return process.posterior_variance.at(t, like).expand_as(like)


class FixedLarge(Variance):
    """beta: right if the data were noise. At t = 0 it is beta tilde of t = 1."""

    outputs = 0

    def log_variance(self, process, raw, t, like):
        return self.variance(process, raw, t, like).log()

    def variance(self, process, raw, t, like):
        return process.upper_variance.at(t, like).expand_as(like)


class Learned(Variance):
    """The network names the log variance itself."""

    outputs = 1

    def log_variance(self, process, raw, t, like):
        return raw


class LearnedRange(Variance):
    """log variance = v log beta + (1 - v) log beta tilde, with 2v - 1 read from the network, not clamped (eq. 15)."""

    outputs = 1

    def log_variance(self, process, raw, t, like):
        v = (raw + 1) / 2
        return v * process.log_beta.at(t, like) + (1 - v) * process.posterior_log_variance.at(t, like)
