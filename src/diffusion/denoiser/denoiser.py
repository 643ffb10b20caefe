"""A denoiser is (x_t, level) -> Denoised. `Denoiser` is the only caller of a network; others are made of denoisers."""

import copy
import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from diffusion.compute.device import to_device
from diffusion.denoiser.predictions import Prediction
from diffusion.denoiser.variances import Variance
from diffusion.process.level import Level, Move, as_factor

Network = Callable[..., Tensor]
Transform = Callable[[Tensor], Tensor]


class ReverseGaussian(NamedTuple):
    """p(x_s | x_t) = N(mean, variance), each (N, C, ...)."""

    mean: Tensor
    variance: Tensor
    log_variance: Tensor


class Denoised(NamedTuple):
    """The expected image x_0 (N, C, ...), and (move, x_0) -> p(x_s | x_t) if the image were x_0.

    `eps()` is the expected noise, which x_t and x_0 determine everywhere but where x_t is an image itself.
    """

    x_0: Tensor
    gaussian: Callable[[Move, Tensor], ReverseGaussian]
    eps: Callable[[], Tensor] | None = None

    def reverse(self, move: Move) -> ReverseGaussian:
        """p(x_s | x_t) of a move from x_t's level."""
        return self.gaussian(move, self.x_0)


Denoise = Callable[[Tensor, Level], Denoised]


class Denoiser:
    """Calls `network(x_t, time, **condition)` and reads its output.

    `condition` is bound by `given`; `takes` names what the network is told of it. `blank` holds, for what it may
    be told nothing of, what stands for nothing, (1, ...).
    """

    def __init__(
        self, network: Network, prediction: Prediction, variance: Variance, takes: Collection[str] = (),
        blank: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.network, self.prediction, self.variance, self.takes = network, prediction, variance, takes
        self.blank = blank
        self.condition: Mapping[str, Tensor] = {}

    def given(self, condition: Mapping[str, Tensor]) -> "Denoiser":
        """The same denoiser, whose network is told its part of `condition`."""
        bound = copy.copy(self)
        bound.condition = {name: values for name, values in condition.items() if name in self.takes}
        return bound

    def output(self, x: Tensor, level: Level) -> Tensor:
        """What the network gives for x_t (N, C, ...), in the precision of x_t whatever it computes in."""
        time, seen = level.time, x if level.c_in is None else as_factor(level.c_in, x) * x
        if getattr(self.network, "whole_times", False) and bool((time != time.round()).any()):
            raise ValueError(
                f"the network knows whole times only and is asked at {time.max().item():g}, between two steps; "
                "set sampler/spacing=even and no sampler.churn"
            )
        return self.network(seen, to_device(time, x.device).expand(len(x)), **self.condition).to(x.dtype)

    def split(self, output: Tensor, channels: int) -> tuple[Tensor, Tensor]:
        """The output as (what is predicted of images of so many `channels`, what is said of the variance)."""
        needed = channels * (1 + self.variance.outputs)
        if output.shape[1] != needed:
            raise ValueError(
                f"{type(self.variance).__name__} needs {needed} output channels, the model gives {output.shape[1]}; "
                f"set model.out_channels={needed}"
            )
        return output[:, :channels], output[:, channels:]

    def read(self, x: Tensor, level: Level, output: Tensor) -> Denoised:
        """What an `output` says of x_t."""
        predicted, raw = self.split(output, x.shape[1])
        x_0, gaussian = self.prediction.x_0(level, predicted, x), partial(self._gaussian, x, predicted, raw)
        return Denoised(x_0, gaussian, partial(self.prediction.eps, level, predicted, x))

    def _gaussian(self, x: Tensor, predicted: Tensor, raw: Tensor, move: Move, x_0: Tensor) -> ReverseGaussian:
        mean = self.prediction.mean(predicted)
        return ReverseGaussian(
            move.mean(x, x_0) if mean is None else mean,
            self.variance.variance(move, raw, x),
            self.variance.log_variance(move, raw, x),
        )

    def __call__(self, x: Tensor, level: Level) -> Denoised:
        return self.read(x, level, self.output(x, level))


def transformed(denoise: Denoise, change: Transform) -> Denoise:
    """Every expected image changed: clipped, thresholded, known pixels put back; p(x_s | x_t) follows."""

    def changing(x: Tensor, level: Level) -> Denoised:
        said = denoise(x, level)
        return said._replace(x_0=change(said.x_0))

    return changing


def clip(x_0: Tensor) -> Tensor:
    return x_0.clamp(-1, 1)


def conditions_of(network: nn.Module) -> tuple[str, ...]:
    """The names of what a network is told beside x_t and the time.

    It says so itself by an attribute `conditions`; else they are the arguments of its `forward` after the first two.
    ValueError for a network that takes no time.
    """
    if (names := getattr(network, "conditions", None)) is not None:
        return tuple(names)
    arguments = list(inspect.signature(network.forward).parameters.values())
    positional = [a for a in arguments if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD, a.VAR_POSITIONAL)]
    if len(positional) < 2 and not any(a.kind == a.VAR_POSITIONAL for a in positional):
        given = ", ".join(a.name for a in arguments)
        raise ValueError(
            f"{type(network).__name__}.forward({given}) takes no time; a network is called as "
            "forward(x, time, **conditions)"
        )
    if any(a.kind == a.VAR_KEYWORD for a in arguments):
        raise ValueError(
            f"{type(network).__name__}.forward(..., **{arguments[-1].name}) does not say what it is told; "
            "give the class an attribute such as conditions = ('y',), or () for nothing"
        )
    return tuple(a.name for a in arguments[2:] if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY))
