"""The forward process: which levels there are between image and noise, and what a network is told of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion.process.level import Level, Move
from diffusion.process.respacing import Steps

MOST_STEPS = 1_000_000  # a thousand times the paper's; the tables of as many take 100 MB


class Process(ABC):
    """`t` names a level: 0 .. T-1 on a chain, in int64 or between its steps in float64; the log-SNR on a continuum."""

    bins: int
    """How many equal shares of the way are told apart where losses are remembered: T on a chain."""
    length: int | None = None
    """The number of its steps, T, where it has some."""

    @abstractmethod
    def level(self, t: Tensor) -> Level:
        """The levels t (N,)."""

    @abstractmethod
    def t(self, u: Tensor) -> Tensor:
        """The t at the share u in [0, 1) of the way from image to noise, float64 (N,) -> (N,)."""

    @abstractmethod
    def share(self, t: Tensor) -> Tensor:
        """The share of the way at t, the inverse of `t` up to its rounding: float64 (N,) in [0, 1)."""

    @abstractmethod
    def nearest(self, log_snr: Tensor) -> Tensor:
        """The t whose log-SNR is nearest, (N,) -> (N,)."""

    @abstractmethod
    def at(self, log_snr: Tensor) -> Tensor:
        """The t whose log-SNR is this one, float64 (N,) -> (N,), or that of the end beyond which it lies."""

    @abstractmethod
    def evenly(self, steps: Steps) -> Tensor:
        """The t of so many steps, evenly spread, from noise on; None takes as many as the process has by itself."""

    @abstractmethod
    def walk(self, t: Tensor) -> list[Level]:
        """The levels t (K,), from noise on, then the image: what a sampler walks through, each level of shape (1,)."""

    def move(self, t: Tensor) -> Move:
        """From t to its neighbour nearer to the image; ValueError where a level has none."""
        raise self._no_steps()

    def respace(self, kept: Sequence[int]) -> "Process":
        """The same process seen only at the steps `kept`, rising; ValueError where there are none."""
        raise self._no_steps()

    def _no_steps(self) -> ValueError:
        return ValueError("a process without steps has no bound that is made of them; set diffusion=cosine")

    def bin(self, t: Tensor, count: int) -> Tensor:
        """Which of `count` equal shares of the way t (N,) lies in: 0 .. count - 1."""
        return (self.share(t) * count).long().clamp(0, count - 1)

    def image(self) -> Level:
        one = torch.ones(1, dtype=torch.float64)
        return Level(one, torch.zeros_like(one), torch.zeros_like(one))

    def pure_noise(self) -> Level:
        one = torch.ones(1, dtype=torch.float64)
        return Level(torch.zeros_like(one), one, torch.zeros_like(one))
