"""What is trained and drawn from: a process, what the network predicts, the variance, and the loss."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoiser, Network
from diffusion.denoiser.predictions import Prediction
from diffusion.denoiser.variances import FixedSmall, Variance
from diffusion.process.chain import Chain, require_steps
from diffusion.process.continuum import Continuum, NoisePath
from diffusion.process.level import Level
from diffusion.process.log_snr import LogSNRSchedule
from diffusion.process.process import Process
from diffusion.process.schedules import Schedule


@runtime_checkable
class Weighting(Protocol):
    """How much an error counts at each level (see `losses.weightings`).

    One that is a module is trained with the network. If it has a `penalty`, a function of log_snr too, that is added to
    the loss.
    """

    def __call__(self, log_snr: Tensor) -> Tensor:
        """The weight of the squared error of v, float64 (N,), where log_snr (N,) may be infinite."""


class Loss(ABC):
    """What a diffusion is trained on: {"loss": (N,), ...}, the total and the terms that it is made of."""

    classifies: ClassVar[bool] = False
    """Whether it trains what names the class of an image, and needs its labels, instead of what draws"""
    terms: ClassVar[tuple[str, ...] | None] = None
    """The names of the terms, None where only computing them tells"""

    def check(self, diffusion: "Diffusion") -> None:
        """Raise ValueError if this loss cannot train with that process, variance or weighting."""

    @abstractmethod
    def __call__(self, diffusion: "Diffusion", denoiser: Denoiser, example: Any) -> dict[str, Tensor]:
        """The terms of an example (see `losses.losses`)."""


class Diffusion:
    """A process and the choices around it. Subclasses say which process their configuration describes."""

    process: Process

    def __init__(
        self, process: Process, /, *, prediction: Prediction, variance: Variance, loss: Loss,
        weighting: Weighting | None = None,
    ) -> None:  # fmt: skip
        self.process, self.prediction, self.variance = process, prediction, variance
        self.loss, self.weighting = loss, weighting
        require_sight(prediction, process.level(process.evenly(1)))
        loss.check(self)

    def denoiser(
        self, network: Network, takes: Collection[str] = (), blank: Mapping[str, Tensor] = MappingProxyType({})
    ) -> Denoiser:
        """The denoiser that calls `network`, which takes the conditions of these names, and may be told their blank."""
        return Denoiser(network, self.prediction, self.variance, takes, blank)

    def outputs(self, channels: int) -> int:
        """How many channels the network must give for images of `channels`."""
        return channels * (1 + self.variance.outputs)


def require_sight(prediction: Prediction, noisiest: Level) -> None:
    """Raise ValueError for a prediction that has no meaning at this level, or says nothing of the image there."""
    if bool((prediction.det(noisiest) == 0).any()):
        raise ValueError(
            f"{type(prediction).__name__} says nothing of the image where the process ends in pure noise; "
            "set diffusion/prediction=velocity"
        )


class GaussianDiffusion(Diffusion):
    """`steps` noising steps of a schedule (Nichol & Dhariwal 2021).

    With `rescale_times` the network is told t * 1000 / steps, so that networks of different T hear the same range.
    `weighting` states how errors count at each level; without one, every error of the prediction counts alike.
    """

    process: Chain

    def __init__(
        self, *, steps: int, schedule: Schedule, prediction: Prediction, variance: Variance, loss: Loss,
        weighting: Weighting | None = None, rescale_times: bool = True,
    ) -> None:  # fmt: skip
        require_steps(steps)
        self.steps, self.schedule, self.rescale_times = steps, schedule, rescale_times
        times, betas = torch.arange(steps), schedule.betas(steps)
        if getattr(betas, "shape", None) != (steps,):
            raise ValueError(f"{type(schedule).__name__}.betas({steps}) must give a tensor of shape ({steps},)")
        process = Chain(betas, times.float() * (1000 / steps) if rescale_times else times)
        super().__init__(process, prediction=prediction, variance=variance, loss=loss, weighting=weighting)

    def respace(self, kept: Sequence[int]) -> "GaussianDiffusion":
        """The same diffusion walked only through the steps `kept` (section 4)."""
        respaced = copy.copy(self)
        respaced.process = self.process.respace(kept)
        return respaced


class ContinuousDiffusion(Diffusion):
    """Every log-SNR of a schedule, on a path (Kingma et al. 2021).

    There are no steps whose variance could be learned: samplers that draw from p(x_s | x_t) take beta tilde.
    """

    process: Continuum

    def __init__(
        self, *, schedule: LogSNRSchedule, path: NoisePath, prediction: Prediction, loss: Loss,
        variance: Variance | None = None, weighting: Weighting | None = None,
    ) -> None:  # fmt: skip
        self.schedule, self.path = schedule, path
        process, variance = Continuum(schedule, path), variance or FixedSmall()
        super().__init__(process, prediction=prediction, variance=variance, loss=loss, weighting=weighting)
