"""A diffusion model's five choices, and the step they define: network output -> p(x_{t-1} | x_t)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from diffusion.denoiser.predictions import Prediction
from diffusion.denoiser.variances import Variance
from diffusion.process.chain import ForwardProcess
from diffusion.process.schedules import Schedule

Transform = Callable[[Tensor], Tensor]


class TrainingLoss(Protocol):
    """What a diffusion is trained on (see `diffusion.losses`)."""

    def check(self, variance: Variance) -> None:
        """Raise ValueError if this loss cannot train a network with that variance."""

    def __call__(self, diffusion: GaussianDiffusion, network: Callable[..., Tensor], example: Any) -> dict[str, Tensor]:
        """{"loss": (N,), ...}: the total, and the terms it is made of."""
        ...


class Reverse(NamedTuple):
    """p(x_{t-1} | x_t) = N(mean, variance) and the x_0 behind it; each (N, C, ...)."""

    mean: Tensor
    variance: Tensor
    log_variance: Tensor
    x_0: Tensor


class GaussianDiffusion:
    """`steps` noising steps of a schedule, what the network predicts, the reverse variance, and the training loss.

    With `rescale_times` the network is told t * 1000 / steps, so that networks of different T hear the same range.
    """

    def __init__(
        self,
        *,
        steps: int,
        schedule: Schedule,
        prediction: Prediction,
        variance: Variance,
        loss: TrainingLoss,
        rescale_times: bool = True,
    ) -> None:
        if steps < 2:
            raise ValueError(f"a process needs at least 2 steps, got {steps}; ask for more (diffusion.steps)")
        loss.check(variance)
        times = torch.arange(steps)
        self.process = ForwardProcess(schedule.betas(steps), times.float() * (1000 / steps) if rescale_times else times)
        self.prediction = prediction
        self.variance = variance
        self.loss = loss

    def respace(self, kept: Sequence[int]) -> GaussianDiffusion:
        """The same diffusion walked only through the steps `kept` (Nichol & Dhariwal 2021, section 4)."""
        respaced = copy.copy(self)
        respaced.process = self.process.respace(kept)
        return respaced

    def outputs(self, channels: int) -> int:
        """How many channels the network must give for images of `channels`."""
        return channels * (1 + self.variance.outputs)

    def split(self, output: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
        """The network's output as (what it predicts, what it says of the variance)."""
        channels, needed = x_t.shape[1], self.outputs(x_t.shape[1])
        if output.shape[1] != needed:
            raise ValueError(
                f"{type(self.variance).__name__} needs {needed} output channels, the model gives {output.shape[1]}; "
                f"set model.out_channels={needed}"
            )
        return output[:, :channels], output[:, channels:]

    def reverse(
        self, output: Tensor, x_t: Tensor, t: Tensor, *, clip: bool = True, transform: Transform | None = None
    ) -> Reverse:
        """p(x_{t-1} | x_t) from the network's output; x_0 is transformed, then clipped to [-1, 1], if asked."""
        predicted, raw = self.split(output, x_t)
        x_0 = self.prediction.x_0(self.process, predicted, x_t, t)
        x_0 = x_0 if transform is None else transform(x_0)
        x_0 = x_0.clamp(-1, 1) if clip else x_0
        return Reverse(
            mean=self.prediction.mean(self.process, predicted, x_0, x_t, t),
            variance=self.variance.variance(self.process, raw, t, x_t),
            log_variance=self.variance.log_variance(self.process, raw, t, x_t),
            x_0=x_0,
        )
