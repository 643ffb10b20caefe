"""The variance of p(x_s | x_t)."""

from abc import ABC, abstractmethod

from torch import Tensor

from diffusion.process.level import Move, as_factor


class Variance(ABC):
    """`outputs` says how many channels, per image channel, the network gives to the variance: 0 or 1."""

    outputs: int = 0

    @abstractmethod
    def log_variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        """log variance, of the shape of `like`; `raw` (N, outputs * C, ...) is the network's share.

        Where the move arrives at the image it is that of the move's floor.
        """

    def variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        return self.log_variance(move, raw, like).exp()


class FixedSmall(Variance):
    """beta tilde, the variance of q(x_s | x_t, x_0): right if the data were one point."""

    def log_variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        return as_factor(move.arriving(move.variance).log(), like).expand_as(like)

    def variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        return as_factor(move.variance, like).expand_as(like)


class FixedLarge(Variance):
    """beta: right if the data were noise."""

    def log_variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        return self.variance(move, raw, like).log()

    def variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        return as_factor(move.arriving(move.upper), like).expand_as(like)


class Learned(Variance):
    """The network names the log variance itself."""

    outputs = 1

    def log_variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        return raw


class LearnedRange(Variance):
    """log variance = v log beta + (1 - v) log beta tilde, with 2v - 1 read from the network, not clamped.

    (Nichol & Dhariwal 2021, eq. 15.)
    """

    outputs = 1

    def log_variance(self, move: Move, raw: Tensor, like: Tensor) -> Tensor:
        v = (raw + 1) / 2
        upper, lower = move.upper.log(), move.arriving(move.variance).log()
        return v * as_factor(upper, like) + (1 - v) * as_factor(lower, like)
