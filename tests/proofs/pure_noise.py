"""What is drawn of bright images where the process ends at pure noise, and where it ends short of it."""

from __future__ import annotations

import torch
from proofs.mixture import Mixture
from proofs.moments import moments

from diffusion import DDIM, Ancestral, Chain, DPMSolver, EvenSpacing, FixedSmall, Heun, Linear, UniPC, Velocity
from diffusion.denoiser.denoiser import Denoised, Denoiser
from diffusion.process.level import Level
from diffusion.samplers.sampler import Sampler

BRIGHT = Mixture([1.0], [0.9], [0.1])
KEPT = {"steps": 50, "spacing": EvenSpacing()}
SAMPLERS: dict[str, Sampler] = {
    "ancestral": Ancestral(**KEPT),
    "DDIM": DDIM(**KEPT),
    "DDIM, eta 1": DDIM(**KEPT, eta=1.0),
    "DPM-Solver 2": DPMSolver(**KEPT),
    "DPM-Solver 2, eta 1": DPMSolver(**KEPT, eta=1.0),
    "DPM-Solver 3": DPMSolver(**KEPT, order=3),
    "Heun, ratio": Heun(**KEPT),
    "Heun, path": Heun(**KEPT, coordinate="path"),
    "Heun, churn 10": Heun(**KEPT, churn=10.0),
    "UniPC 2": UniPC(**KEPT),
    "UniPC 3": UniPC(**KEPT, order=3),
}


def chains() -> dict[str, Chain]:
    """1,000 linear steps that leave alpha_T = 0.22 of an image, and the same rescaled to leave none of it.

    (Lin et al. 2024, algorithm 1: sqrt(alpha_bar) is shifted so that the last is 0, and scaled to keep the first.)
    """
    betas = Linear(end=0.006).betas(1000)
    alpha = (1 - betas).cumprod(0).sqrt()
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    before = torch.cat([torch.ones(1, dtype=torch.float64), alpha[:-1]])
    return {"short": Chain(betas), "pure": Chain(1 - (alpha / before) ** 2)}


def by_velocity(x: torch.Tensor, level: Level) -> Denoised:
    """The exact denoiser as a network that predicts v, so that a division by alpha = 0 would show."""
    x_0 = BRIGHT.x_0(x, level)
    p, q = Velocity().pair(level)
    v = p[:, None] * x_0 + q[:, None] * (x - level.alpha[:, None] * x_0) / level.sigma[:, None]
    return Denoiser(lambda *_: v, Velocity(), FixedSmall())(x, level)


def mean_of(sampler: str, chain: Chain) -> float:
    """Of the images that are drawn from N(0, 1); not a number where a variance is none."""
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    mean, variance = moments(SAMPLERS[sampler], by_velocity, SAMPLERS[sampler].levels(chain), zero, one)
    return mean.item() if bool(variance.isfinite()) else float("nan")


def figures(sampler: str) -> tuple[float, float]:
    """The means where the chain ends short of pure noise, and at it."""
    short, pure = chains().values()
    return mean_of(sampler, short), mean_of(sampler, pure)
