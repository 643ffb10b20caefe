"""Training objectives: each turns an example and a network into terms, one number an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.denoiser.gaussian import GaussianDiffusion
from diffusion.denoiser.variances import Variance
from diffusion.losses.bound import bound_term

Network = Callable[..., Tensor]
Terms = dict[str, Tensor]


class Example(NamedTuple):
    """Images x_0 (N, C, ...) and what became of them: x_t at t (N,), by the noise eps."""

    x_0: Tensor
    t: Tensor
    eps: Tensor
    x_t: Tensor
    condition: Mapping[str, Tensor]


class Loss(ABC):
    """Gives {"loss": (N,), ...}: the total and the terms it is made of."""

    def check(self, variance: Variance) -> None:
        """Raise ValueError if this loss cannot train a network with that variance."""

    @abstractmethod
    def __call__(self, diffusion: GaussianDiffusion, network: Network, example: Example) -> Terms: ...


def predict(diffusion: GaussianDiffusion, network: Network, example: Example) -> Tensor:
    """The network's output, told the time and the condition; float32 whatever precision it works in."""
    return network(example.x_t, diffusion.process.time(example.t), **example.condition).float()


def squared_error(diffusion: GaussianDiffusion, predicted: Tensor, example: Example) -> Tensor:
    """Mean squared error of what the network predicts, (N,)."""
    target = diffusion.prediction.target(diffusion.process, example.x_0, example.x_t, example.eps, example.t)
    return ((target - predicted) ** 2).flatten(1).mean(1)


class Simple(Loss):
    """L_simple: the mean squared error (Ho et al. 2020, eq. 14). It leaves the variance alone."""

    def check(self, variance: Variance) -> None:
        if variance.outputs:
            raise ValueError(
                f"the simple loss never trains {type(variance).__name__}; "
                "use diffusion/loss=hybrid, or diffusion/variance=fixed_large"
            )

    def __call__(self, diffusion, network, example):
        predicted, _ = diffusion.split(predict(diffusion, network, example), example.x_t)
        mse = squared_error(diffusion, predicted, example)
        return {"loss": mse, "mse": mse}


class Hybrid(Loss):
    """L_simple + lambda L_vlb; in L_vlb the mean is held fixed, so that it trains the variance alone (eq. 16).

    `vlb_weight` is the paper's lambda. L_vlb is estimated by T times one term, in bits/dim.
    """

    def __init__(self, *, vlb_weight: float = 0.001) -> None:
        self.vlb_weight = vlb_weight

    def check(self, variance: Variance) -> None:
        if not variance.outputs:
            raise ValueError(
                f"the hybrid loss has nothing to train in {type(variance).__name__}; "
                "use diffusion/loss=simple, or diffusion/variance=learned_range"
            )

    def __call__(self, diffusion, network, example):
        predicted, raw = diffusion.split(predict(diffusion, network, example), example.x_t)
        fixed_mean = torch.cat([predicted.detach(), raw], dim=1)
        term = bound_term(diffusion, fixed_mean, example.x_0, example.x_t, example.t)
        mse = squared_error(diffusion, predicted, example)
        vb = self.vlb_weight * len(diffusion.process) * term
        return {"loss": mse + vb, "mse": mse, "vb": vb}


class VLB(Loss):
    """L_vlb: the variational bound itself in bits/dim, estimated by T times one term, times `weight` (eq. 4)."""

    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight

    def __call__(self, diffusion, network, example):
        output = predict(diffusion, network, example)
        term = bound_term(diffusion, output, example.x_0, example.x_t, example.t)
        vb = self.weight * len(diffusion.process) * term
        return {"loss": vb, "vb": vb}


class Classification(Loss):
    """Cross-entropy in nats of a classifier that sees x_t (Dhariwal & Nichol 2021, section 4); accuracies beside it."""

    def __call__(self, diffusion, network, example):
        labels = example.condition["y"]
        logits = network(example.x_t, diffusion.process.time(example.t)).float()
        top = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        return {
            "loss": F.cross_entropy(logits, labels, reduction="none"),
            "accuracy": top[:, 0].float(),
            "accuracy_top5": top.any(dim=1).float(),
        }


def example_from(diffusion: GaussianDiffusion, x_0: Tensor, t: Tensor, eps: Tensor, **condition: Any) -> Example:
    """The example that x_0 becomes at t by the noise eps; conditions that are None are left out."""
    given = {name: value for name, value in condition.items() if value is not None}
    return Example(x_0, t, eps, diffusion.process.sample(x_0, t, eps), given)
