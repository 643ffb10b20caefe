"""Formulas that are one although their papers write them differently: how far they are apart at worst."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from proofs.cases import EQUAL_TO_DDIM, PROCESSES, laid_out
from proofs.mixture import LINE, ONE, TWO, float64
from torch import Tensor

from diffusion import (
    DDIM,
    Ancestral,
    Chain,
    Continuum,
    Cosine,
    DPMSolver,
    Epsilon,
    EvenLogSNR,
    Exploding,
    Flow,
    Heun,
    KarrasSpacing,
    MinSNRWeighting,
    SigmoidWeighting,
    Start,
    Straight,
    UniPC,
    VariancePreserving,
    Velocity,
)
from diffusion.denoiser.denoiser import Denoised
from diffusion.losses.bound import bound_term
from diffusion.losses.losses import weights
from diffusion.process.level import Move, as_factor
from diffusion.samplers.sampler import Sampler


class Equality(NamedTuple):
    """What is equal, how far apart rounding may take it, and how far it does."""

    statement: str
    within: float
    measured: Callable[[], float]


ALL: list[Equality] = []
LOG_SNR = torch.linspace(-9, 9, 37, dtype=torch.float64)


def equality(statement: str, within: float):
    def keep(measured: Callable[[], float]) -> Callable[[], float]:
        ALL.append(Equality(statement, within, measured))
        return measured

    return keep


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def apart(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest number wanted."""
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def drawn(sampler: Sampler, process, levels=None) -> Tensor:
    """From the same noises, whatever the sampler."""
    levels = levels or sampler.levels(process)
    noises = iter(randn(len(levels) + 1, len(LINE), 1))
    *_, end = sampler.walk(TWO.denoise, levels, LINE * levels[0].std, lambda: next(noises))
    return end.x


def edm(data_std: float = 0.5):
    """sigma, a network's output at 37 of them, and what Karras et al. 2022, table 1, make of it: D, and its loss."""
    sigma = (-LOG_SNR / 2).exp()[:, None]
    x_0, eps, output = randn(3, len(sigma), 5)
    x = x_0 + sigma * eps
    c_skip, c_out = data_std**2 / (sigma**2 + data_std**2), sigma * data_std / (sigma**2 + data_std**2).sqrt()
    d = c_skip * x + c_out * output
    loss = ((sigma**2 + data_std**2) / (sigma * data_std) ** 2 * (d - x_0) ** 2).mean(1)
    return x_0, eps, output, x, d, loss


def edm_differs(path) -> float:
    x_0, eps, output, x, d, loss = edm()
    level = Continuum(EvenLogSNR(), path).level(LOG_SNR)
    velocity, seen = Velocity(), as_factor(level.alpha, x) * x
    mse = ((velocity.target(level, x_0, eps) + output) ** 2).mean(1)
    c_in = (level.c_in if level.c_in is not None else 1) * level.alpha
    published_c_in = 1 / ((-LOG_SNR).exp() + 0.25).sqrt()
    return max(
        apart(velocity.x_0(level, -output, seen), d), ((mse / loss) - 1).abs().max().item(), apart(c_in, published_c_in)
    )


SPREAD = (Exploding, VariancePreserving)
for kind in SPREAD:
    equality(
        f"EDM's c_in, D = c_skip x + c_out F and weighted loss (Karras et al. 2022, table 1) = plain velocity, "
        f"F = -v, on {kind.__name__}(data_std=0.5)",
        1e-9,
    )(partial(edm_differs, kind(data_std=0.5)))


ANY_PATH = {
    "DDIM": DDIM, "DDIM, eta 1": partial(DDIM, eta=1.0), "ancestral": Ancestral, "DPM-Solver 2": DPMSolver,
    "DPM-Solver 3": partial(DPMSolver, order=3), "DPM-Solver 2, eta 1": partial(DPMSolver, eta=1.0), "Heun": Heun,
    "Heun, churn 10": partial(Heun, churn=10.0), "UniPC 2": UniPC, "UniPC 3": partial(UniPC, order=3),
}  # fmt: skip


@equality(
    "the same pictures on the preserving, straight and exploding path where log-SNRs are equal, all samplers", 1e-9
)
def paths_differ() -> float:
    worst = 0.0
    for sampler in ANY_PATH.values():
        own = sampler(steps=18, spacing=KarrasSpacing(low=0.01, high=80.0))
        ends = [
            drawn(own, Continuum(EvenLogSNR(), path))
            for path in (VariancePreserving(data_std=0.5), Exploding(data_std=0.5), VariancePreserving(), Straight())
        ]
        # data_std changes x_T, by its std of the level; that apart, the path changes nothing.
        worst = max(worst, apart(ends[1], ends[0]))
        levels = [Continuum(EvenLogSNR(), path).walk(LOG_SNR) for path in (VariancePreserving(), Straight())]
        scaled = [walked(own, each, LINE * each[0].alpha) for each in levels]
        worst = max(worst, apart(*scaled))
    return worst


def walked(sampler: Sampler, levels, x: Tensor) -> Tensor:
    noises = iter(randn(len(levels), len(LINE), 1))
    *_, end = sampler.walk(TWO.denoise, levels, x, lambda: next(noises))
    return end.x


def differs_everywhere(first: Callable[..., Sampler], second: Callable[..., Sampler]) -> float:
    pairs = [[drawn(own, process, levels) for process, own, levels in sides(name, first, second)] for name in PROCESSES]
    return max(apart(*pair) for pair in pairs)


def sides(process: str, *samplers: Callable[..., Sampler]):
    return [laid_out(process, sampler, 20) for sampler in samplers]


for name, sampler in EQUAL_TO_DDIM.items():
    equality(f"{name} = DDIM, on every process", 1e-12)(partial(differs_everywhere, sampler, DDIM))

equality("ancestral sampling with the small variance = DDIM with eta 1", 1e-12)(
    partial(differs_everywhere, Ancestral, partial(DDIM, eta=1.0))
)
for eta in (0.5, 1.0):
    equality(f"DPM-Solver 1 with eta {eta} = DDIM with eta {eta}", 1e-12)(
        partial(differs_everywhere, partial(DPMSolver, order=1, eta=eta), partial(DDIM, eta=eta))
    )


@equality("UniPC's first step, before it is corrected = DDIM's", 1e-12)
def first_steps_differ() -> float:
    worst = 0.0
    for name in PROCESSES:
        steps = [next(own.walk(TWO.denoise, levels, LINE, None)) for _, own, levels in sides(name, UniPC, DDIM)]
        worst = max(worst, apart(steps[0].x, steps[1].x))
    return worst


@equality("Heun along the path = along the ratio where alpha is 1", 1e-12)
def coordinates_differ() -> float:
    levels = Continuum(EvenLogSNR(), Exploding()).walk(LOG_SNR)
    return apart(*(drawn(Heun(coordinate=each), None, levels) for each in ("path", "ratio")))


@equality(
    "Heun's step along the path = the trapezoid rule of dx/du = x_0 dalpha/du + eps dsigma/du (straight path)", 1e-9
)
def trapezoid_differs() -> float:
    levels = Continuum(EvenLogSNR(), Straight()).walk(LOG_SNR)[:-1]

    def velocity(x: Tensor, level) -> Tensor:  # by sigma: eps - x_0
        return level.eps(x, TWO.x_0(x, level)) - TWO.x_0(x, level)

    x, worst = LINE, 0.0
    for here, there, step in zip(
        levels, levels[1:], Heun(coordinate="path").walk(TWO.denoise, levels, x, None), strict=False
    ):
        du = there.sigma - here.sigma
        ahead = x + du * velocity(x, here)
        x = x + du * (velocity(x, here) + velocity(ahead, there)) / 2
        worst = max(worst, apart(step.x, x))
    return worst


@equality("min(SNR, 5) for x_0 (Hang et al. 2023) = over SNR for eps = over SNR + 1 for v", 1e-9)
def min_snr_differs() -> float:
    level = Continuum(EvenLogSNR(), VariancePreserving()).level(LOG_SNR)
    snr, law = LOG_SNR.exp(), MinSNRWeighting(gamma=5.0)
    published = {Start(): snr.clamp(max=5), Epsilon(): snr.clamp(max=5) / snr, Velocity(): snr.clamp(max=5) / (snr + 1)}
    return max((weights(law, space, level) / wanted - 1).abs().max().item() for space, wanted in published.items())


@equality(
    "sigmoid(ln 5 - log-SNR) for eps (Kingma & Gao 2023) = a soft min-SNR, 5 / (SNR + 5) = 5 times P2 with k = 5", 1e-9
)
def sigmoid_differs() -> float:
    worst = 0.0
    for path in (VariancePreserving(), Straight(), *(kind(data_std=s) for kind in SPREAD for s in (0.5, 2.0))):
        snr = LOG_SNR.exp() * path.data_std**2
        p2 = 1 / (5 + snr)  # Choi et al. 2022, eq. 8, gamma = 1
        soft_min = 1 / (1 / snr + 1 / 5)
        level = Continuum(EvenLogSNR(), path).level(LOG_SNR)
        for space, wanted in ((Epsilon(), 5 * p2), (Start(), soft_min / path.data_std**2)):
            worst = max(worst, (weights(SigmoidWeighting(), space, level) / wanted - 1).abs().max().item())
    return worst


@equality(
    "sigmoid(-log-SNR) on data of std 0.5 = soft min-SNR of k-diffusion, (sigma s)^2 / (sigma^2 + s^2)^2 for EDM's F",
    1e-9,
)
def soft_min_snr_differs() -> float:
    sigma, s = (-LOG_SNR / 2).exp(), 0.5
    level = Continuum(EvenLogSNR(), Exploding(data_std=s)).level(LOG_SNR)
    published = (sigma * s) ** 2 / (sigma**2 + s**2) ** 2
    return (weights(SigmoidWeighting(bias=0.0), Velocity(), level) / published - 1).abs().max().item()


@equality("flow loss = velocity loss / (alpha^2 + sigma^2), on the straight path", 1e-9)
def flow_differs() -> float:
    level = Continuum(EvenLogSNR(), Straight()).level(LOG_SNR)
    x_0, eps, wrong = randn(3, len(LOG_SNR), 5)
    other = level.eps(level.x(x_0, eps), wrong)
    flow, v = (
        ((space.target(level, x_0, eps) - space.target(level, wrong, other)) ** 2).mean(1)
        for space in (Flow(), Velocity())
    )
    return (flow / v * (level.alpha**2 + level.sigma**2) - 1).abs().max().item()


@equality(
    "d x_t / d log-SNR of exact transport = -alpha sigma / 2 times v (preserving), flow (straight), eps (exploding)",
    1e-7,
)
def flow_of_probability_differs() -> float:
    worst = 0.0
    for path, space in ((VariancePreserving(), Velocity()), (Straight(), Flow()), (Exploding(), Epsilon())):
        process = Continuum(EvenLogSNR(), path)
        for where in (-3.0, 0.4, 2.0):
            here, d = process.level(float64(where)), 1e-3
            near = [TWO.transport(LINE, here, process.level(float64(where + n * d))) for n in (-2, -1, 1, 2)]
            derivative = (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * d)
            x_0 = TWO.x_0(LINE, here)
            velocity = -here.alpha * here.sigma / 2 * space.target(here, x_0, here.eps(LINE, x_0))
            worst = max(worst, apart(velocity, derivative))
    return worst


@equality("a chain between its steps = the preserving path at the same log-SNR", 1e-12)
def chain_differs() -> float:
    chain, path = Chain(Cosine().betas(100)), VariancePreserving()
    level = chain.level(torch.linspace(0, 99, 199, dtype=torch.float64))
    alpha, sigma = path.alpha_sigma(level.log_snr)
    return max(apart(level.alpha, alpha), apart(level.sigma, sigma))


@equality(
    "a term of the bound = expm1(change of log-SNR) / 2 times the error of eps (Kingma et al. 2021, eq. 14)",
    1e-9,
)
def bound_differs() -> float:
    chain, worst = Chain(Cosine().betas(50)), 0.0
    x_0, eps, wrong = randn(3, 7, 1)
    for t in (1, 10, 48):
        move = chain.move(torch.tensor([t]))
        x = move.here.x(x_0, eps)
        said = Denoised(wrong, TWO.denoise(x, move.here).gaussian)
        error = ((move.here.eps(x, wrong) - eps) ** 2).mean(1) / math.log(2)
        wanted = torch.expm1(move.there.log_snr - move.here.log_snr) / 2 * error
        worst = max(worst, (bound_term(said, move, x_0, x) / wanted - 1).abs().max().item())
    return worst


@equality("Gaussian data: the exact denoiser's reverse step composes to the exact posterior, any two levels", 1e-9)
def posterior_differs() -> float:
    worst = 0.0
    for path in (VariancePreserving(), Straight(), Exploding()):
        here, there = (Continuum(EvenLogSNR(), path).level(float64(at)) for at in (-1.0, 2.0))
        mean, std = ONE.means, ONE.spread(there)[0]
        # E[x_s | x_t] by the covariance of x_s and x_t: x_t = a x_s + noise.
        a = here.alpha / there.alpha
        wanted = there.alpha * mean + a * std**2 / ONE.spread(here)[0] ** 2 * (LINE - here.alpha * mean)
        got = Move(here, there).mean(LINE, ONE.x_0(LINE, here))
        worst = max(worst, apart(got, wanted))
    return worst
