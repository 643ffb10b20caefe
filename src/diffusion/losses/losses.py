"""Training objectives: each turns an example and a denoiser into terms, one number an image."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.denoiser.denoiser import Denoiser
from diffusion.denoiser.diffusion import Diffusion, Loss, Weighting
from diffusion.denoiser.predictions import Prediction
from diffusion.losses.bound import bound_term
from diffusion.process.level import Level
from diffusion.process.process import Process

Terms = dict[str, Tensor]


class Example(NamedTuple):
    """Images x_0 (N, C, ...) and what became of them: x_t at t (N,), by the noise eps; their labels, or None."""

    x_0: Tensor
    t: Tensor
    eps: Tensor
    level: Level
    x_t: Tensor
    y: Tensor | None = None


def noised(process: Process, x_0: Tensor, t: Tensor, eps: Tensor, y: Tensor | None = None) -> Example:
    """The example that x_0 becomes at t by the noise eps."""
    level = process.level(t)
    return Example(x_0, t, eps, level, level.x(x_0, eps), y)


def weights(weighting: Weighting, prediction: Prediction, level: Level) -> Tensor:
    """What the squared error of `prediction` is multiplied by, float64 (N,), to count as `weighting` says of v.

    The weighting sees the log-SNR of data of standard deviation 1, as the papers state theirs.
    """
    per_v = level.std / (level.data_std * prediction.det(level))
    return weighting(of_unit_data(level)) * per_v**2


def of_unit_data(level: Level) -> Tensor:
    """The log-SNR that a level has for data scaled to standard deviation 1, float64 (N,)."""
    return level.log_snr + 2 * math.log(level.data_std)


def squared_error(diffusion: Diffusion, predicted: Tensor, example: Example) -> Terms:
    """{"loss", "mse"}: the mean squared error of what the network predicts (N,), weighted and plain."""
    target = diffusion.prediction.target(example.level, example.x_0, example.eps)
    mse = ((target - predicted) ** 2).flatten(1).mean(1)
    if diffusion.weighting is None:
        return {"loss": mse, "mse": mse}
    factor = weights(diffusion.weighting, diffusion.prediction, example.level)
    loss = factor.to(mse) * mse
    if (penalty := getattr(diffusion.weighting, "penalty", None)) is not None:
        loss = loss + penalty(of_unit_data(example.level)).to(mse)
    return {"loss": loss, "mse": mse}


def chain_term(diffusion: Diffusion, denoiser: Denoiser, output: Tensor, example: Example) -> Tensor:
    """One term of the bound, bits/dim (N,), of what the network's `output` says; T times it estimates L_vlb."""
    move = diffusion.process.move(example.t)
    said = denoiser.read(example.x_t, example.level, output)
    return bound_term(said, move, example.x_0, example.x_t)


def require_chain(diffusion: Diffusion, loss: str) -> None:
    """Raise ValueError unless the process has steps, of which the bound is made."""
    try:
        diffusion.process.move(torch.zeros(1, dtype=torch.long))
    except ValueError as error:
        raise ValueError(f"the {loss} loss needs steps: {error}, or diffusion/loss=simple") from None


class Simple(Loss):
    """L_simple: the mean squared error (Ho et al. 2020, eq. 14), or weighted by level. It leaves the variance alone."""

    terms = ("loss", "mse")

    def check(self, diffusion: Diffusion) -> None:
        if diffusion.variance.outputs:
            raise ValueError(
                f"the simple loss never trains {type(diffusion.variance).__name__}; "
                "use diffusion/loss=hybrid, or diffusion/variance=fixed_large"
            )

    def __call__(self, diffusion: Diffusion, denoiser: Denoiser, example: Example) -> Terms:
        output = denoiser.output(example.x_t, example.level)
        predicted, _ = denoiser.split(output, example.x_t.shape[1])
        return squared_error(diffusion, predicted, example)


class Hybrid(Loss):
    """L_simple + lambda L_vlb; in L_vlb the mean is held fixed, so that it trains the variance alone (eq. 16).

    `vlb_weight` is the paper's lambda. L_vlb is estimated by T times one term, in bits/dim.
    """

    terms = ("loss", "mse", "vb")

    def __init__(self, *, vlb_weight: float = 0.001) -> None:
        self.vlb_weight = vlb_weight

    def check(self, diffusion: Diffusion) -> None:
        require_chain(diffusion, "hybrid")
        if not diffusion.variance.outputs:
            raise ValueError(
                f"the hybrid loss has nothing to train in {type(diffusion.variance).__name__}; "
                "use diffusion/loss=simple, or diffusion/variance=learned_range"
            )

    def __call__(self, diffusion: Diffusion, denoiser: Denoiser, example: Example) -> Terms:
        output = denoiser.output(example.x_t, example.level)
        predicted, raw = denoiser.split(output, example.x_t.shape[1])
        fixed_mean = torch.cat([predicted.detach(), raw], dim=1)
        vb = self.vlb_weight * diffusion.process.bins * chain_term(diffusion, denoiser, fixed_mean, example)
        error = squared_error(diffusion, predicted, example)
        return {"loss": error["loss"] + vb, "mse": error["mse"], "vb": vb}


class VLB(Loss):
    """L_vlb: the variational bound itself in bits/dim, estimated by T times one term, times `weight` (eq. 4)."""

    terms = ("loss", "vb")

    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight

    def check(self, diffusion: Diffusion) -> None:
        require_chain(diffusion, "VLB")
        if diffusion.weighting is not None:
            raise ValueError(
                "the bound weighs every level itself; leave diffusion/weighting out, or set diffusion/loss=simple"
            )

    def __call__(self, diffusion: Diffusion, denoiser: Denoiser, example: Example) -> Terms:
        output = denoiser.output(example.x_t, example.level)
        vb = self.weight * diffusion.process.bins * chain_term(diffusion, denoiser, output, example)
        return {"loss": vb, "vb": vb}


class Classification(Loss):
    """Cross-entropy in nats of a classifier that sees x_t (Dhariwal & Nichol 2021, section 4); accuracies beside it."""

    classifies = True
    terms = ("loss", "accuracy", "accuracy_top5")

    def check(self, diffusion: Diffusion) -> None:
        if diffusion.weighting is not None:
            raise ValueError("a classifier's loss knows no weighting; leave diffusion/weighting out")

    def __call__(self, diffusion: Diffusion, denoiser: Denoiser, example: Example) -> Terms:
        assert example.y is not None, "checked before training"
        logits = denoiser.output(example.x_t, example.level)
        top = logits.topk(min(5, logits.shape[1]), dim=1).indices == example.y[:, None]
        return {
            "loss": F.cross_entropy(logits, example.y, reduction="none"),
            "accuracy": top[:, 0].float(),
            "accuracy_top5": top.any(dim=1).float(),
        }
