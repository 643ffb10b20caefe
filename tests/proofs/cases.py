"""The processes, each with the steps it is cut into, and the samplers, of which the laws are proved."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from diffusion import (
    DDIM,
    Ancestral,
    Chain,
    Continuum,
    Cosine,
    CosineLogSNR,
    DPMSolver,
    EvenLogSNR,
    EvenSpacing,
    Exploding,
    Heun,
    KarrasSpacing,
    Linear,
    ListSpacing,
    LogSNRSpacing,
    Straight,
    StraightTime,
    UniPC,
    VariancePreserving,
)
from diffusion.process.level import Level
from diffusion.process.process import Process
from diffusion.samplers.sampler import Sampler
from diffusion.samplers.spacing import Spacing

ENDS = {"top": 6.0, "bottom": -6.0}
Case = Callable[[int], tuple[Process, Spacing]]


def chain(schedule) -> Case:
    """Evenly in t from log-SNR -6 to 6 of 1,000 steps, which is between two of its steps."""
    process = Chain(schedule.betas(1000))
    noisy, clean = process.at(torch.tensor([-6.0, 6.0], dtype=torch.float64)).tolist()
    return lambda steps: (
        process,
        ListSpacing(t=torch.linspace(noisy, clean, steps, dtype=torch.float64).tolist()),
    )


def continuum(schedule, path, spacing: Spacing) -> Case:
    return lambda steps: (Continuum(schedule, path), spacing)


PROCESSES: dict[str, Case] = {
    "chain, linear": chain(Linear()),
    "chain, cosine": chain(Cosine()),
    "preserving, cosine": continuum(CosineLogSNR(**ENDS), VariancePreserving(), EvenSpacing()),
    "straight, its time": continuum(StraightTime(**ENDS), Straight(), EvenSpacing()),
    "exploding, Karras": continuum(EvenLogSNR(**ENDS), Exploding(data_std=0.5), KarrasSpacing()),
    "preserving 0.5, Karras": continuum(EvenLogSNR(**ENDS), VariancePreserving(data_std=0.5), KarrasSpacing()),
    "preserving, even log-SNR": continuum(EvenLogSNR(**ENDS), VariancePreserving(), LogSNRSpacing()),
}
EQUAL_TO_DDIM: dict[str, Callable[..., Sampler]] = {
    "DPM-Solver 1": lambda **kept: DPMSolver(order=1, **kept),
    "Euler along the ratio": lambda **kept: Heun(order=1, **kept),
    "Euler along the path": lambda **kept: Heun(order=1, coordinate="path", **kept),
}
"""Where no noise is added (see `equalities`)."""


class Law(NamedTuple):
    """A sampler, the order that its errors have, how far `steps` of them are from showing it, and why."""

    sampler: Callable[..., Sampler]
    order: float
    within: float
    steps: int = 256


# UniPC corrects, which raises its order by 1; its first steps, which are of a lower order, keep order 3 at 3.
# DPM-Solver 3 as published counts the second difference half: it is of order 2 (see `orders.local_order`), which few
# steps do not show yet where log-SNR leaps at first.
DETERMINISTIC: dict[str, Law] = {
    "DDIM": Law(DDIM, 1, 0.03),
    "DPM-Solver 2": Law(DPMSolver, 2, 0.15),
    "DPM-Solver 3": Law(lambda **kept: DPMSolver(order=3, **kept), 2, 0.35, 512),
    "Heun, ratio": Law(Heun, 2, 0.1),
    "Heun, path": Law(lambda **kept: Heun(coordinate="path", **kept), 2, 0.1),
    "UniPC 1": Law(lambda **kept: UniPC(order=1, **kept), 2, 0.15),
    "UniPC 2": Law(lambda **kept: UniPC(order=2, **kept), 3, 0.2, 512),
    "UniPC 3": Law(lambda **kept: UniPC(order=3, **kept), 3, 0.2, 512),
}
STOCHASTIC: dict[str, Law] = {
    "ancestral": Law(Ancestral, 1, 0.1),
    "DDIM, eta 0.5": Law(lambda **kept: DDIM(eta=0.5, **kept), 1, 0.1),
    "DPM-Solver 2, eta 0.5": Law(lambda **kept: DPMSolver(eta=0.5, **kept), 2, 0.1),
    "DPM-Solver 2, eta 1": Law(lambda **kept: DPMSolver(eta=1.0, **kept), 2, 0.1),
    "Heun, churn 10": Law(lambda **kept: Heun(churn=10.0, **kept), 2, 0.1),
}


def laid_out(process: str, sampler: Callable[..., Sampler], steps: int) -> tuple[Process, Sampler, list[Level]]:
    """A process, the sampler with its steps on it, and the levels from log-SNR -6 to 6, then the image."""
    made, spacing = PROCESSES[process](steps)
    own = sampler(steps=steps, spacing=spacing)
    return made, own, own.levels(made)


def slope(coarse: float, fine: float, times: float = 2) -> float:
    """The order of an error that falls from coarse to fine where there are so many `times` the steps."""
    return math.log(coarse / fine) / math.log(times)
