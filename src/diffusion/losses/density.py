"""The density that the probability flow gives to images, exactly but for the solver (Song et al. 2021, section 4.3).

In y = x_t / alpha the flow is the same on every path: dy / d log-SNR = -(y - x_0_hat) / 2, where x_0_hat is what the
denoiser expects at x_t = alpha y. log p grows along it by minus its divergence, which random probes estimate.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level, as_factor
from diffusion.process.process import Process

MOST_STEPS = 10_000
# Dormand & Prince 1980: where each stage looks, what it is made of, and how the fifth order differs from the fourth.
NODES = (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


class State(NamedTuple):
    """y (N, C, ...), and what log p has gained on the way there (N,)."""

    y: Tensor
    gained: Tensor

    def moved(self, h: float, rates: Sequence["State"], weights: Sequence[float]) -> "State":
        """The state h times the weighted rates further."""
        parts = [
            start + sum(h * w * rate[i] for rate, w in zip(rates, weights, strict=False) if w)
            for i, start in enumerate(self)
        ]
        return State(*parts)


Rates = Callable[[float, State], State]


def flow_rates(process: Process, denoise: Denoise, probes: Tensor) -> Rates:
    """(log-SNR, state) -> d state / d log-SNR, its divergence the mean over `probes` (K, N, C, ...) of z^T J z."""

    def rates(log_snr: float, state: State) -> State:
        level = process.level(process.at(probes.new_tensor([log_snr], dtype=torch.float64, device="cpu")))
        with torch.enable_grad():
            y = state.y.detach().requires_grad_()
            x_0 = denoise(as_factor(level.alpha, y) * y, level).x_0
            trace = torch.zeros_like(state.gained)
            for number, z in enumerate(probes):
                more = number + 1 < len(probes)
                (pulled,) = torch.autograd.grad(x_0, y, z, retain_graph=more)
                trace += (pulled * z).flatten(1).sum(1) / len(probes)
        return State(-(state.y - x_0.detach()) / 2, (trace - y[0].numel()) / 2)

    return rates


def solve(
    rates: Rates, state: State, start: float, end: float, *, tolerance: float, steps: int | None,
    after: Callable[[float], object] = float,
) -> State:  # fmt: skip
    """The state at `end`: by Runge and Kutta in `steps` even steps, or in as many as keep the error of each below
    `tolerance` (Dormand & Prince 1980). `after(share)` follows each step, a share of the way."""
    if steps is not None:
        h = (end - start) / steps
        for number in range(steps):
            state = classical(rates, state, start + number * h, h)
            after(1 / steps)
        return state
    place, h, first = start, (end - start) / 50, rates(start, state)
    for _ in range(MOST_STEPS):
        h = math.copysign(min(abs(h), abs(end - place)), end - start)
        found = [first]
        for node, weights in zip(NODES[1:], STAGES[1:], strict=True):
            ahead = state.moved(h, found, weights)
            found.append(rates(place + node * h, ahead))
        error = largest(State(*(0 * part for part in state)).moved(h, found, ERROR), ahead, tolerance)
        if not math.isfinite(error):
            raise ValueError("the flow leaves all numbers; draw with this model first, and see whether it is sound")
        if error <= 1:
            place, state, first = place + h, ahead, found[-1]
            after(h / (end - start))
            if abs(end - place) < 1e-12 * abs(end - start):
                return state
        h *= min(5.0, max(0.2, 0.9 * error**-0.2 if error > 0 else 5.0))
    raise ValueError(f"the flow takes more than {MOST_STEPS} steps; set evaluation.tolerance=1e-3, or evaluation.steps")


def classical(rates: Rates, state: State, place: float, h: float) -> State:
    """One step of the fourth order."""
    k_1 = rates(place, state)
    k_2 = rates(place + h / 2, state.moved(h / 2, [k_1], [1]))
    k_3 = rates(place + h / 2, state.moved(h / 2, [k_2], [1]))
    k_4 = rates(place + h, state.moved(h, [k_3], [1]))
    return state.moved(h, [k_1, k_2, k_3, k_4], [1 / 6, 1 / 3, 1 / 3, 1 / 6])


def largest(error: State, state: State, tolerance: float) -> float:
    """The error of the worst image, 1 where it is as large as the tolerance allows."""
    ratios = (part / (tolerance * (1 + like.abs())) for part, like in zip(error, state, strict=True))
    return max(ratio.reshape(len(ratio), -1).square().mean(1).sqrt().max().item() for ratio in ratios)


def log_density(
    process: Process, denoise: Denoise, x: Tensor, probes: Tensor, *, clean: Level, noisy: Level,
    prior_std: Tensor | None = None, tolerance: float = 1e-5, steps: int | None = None,
    after: Callable[[float], object] = float,
) -> Tensor:  # fmt: skip
    """log p(x_t) in nats, (N,), of x (N, C, ...) at the level `clean`, by the flow to `noisy`.

    There the prior is N(0, prior_std^2), that of the level's own standard deviation if not given. Probes (K, N, C, ...)
    of random signs give the trace of the Jacobian in the mean; basis vectors times sqrt(K), one each, give it exactly.
    `after(share)` follows each step, a share of the way.
    """
    start = State(x / as_factor(clean.alpha, x), torch.zeros(len(x), dtype=x.dtype, device=x.device))
    rates = flow_rates(process, denoise, probes)
    here, there = clean.log_snr.item(), noisy.log_snr.item()
    end = solve(rates, start, here, there, tolerance=tolerance, steps=steps, after=after)
    std = as_factor((noisy.std if prior_std is None else prior_std) / noisy.alpha, x)
    prior = -0.5 * ((end.y / std) ** 2 + (2 * math.pi * std**2).log()).flatten(1).sum(1)
    return prior + end.gained - x[0].numel() * math.log(clean.alpha.item())


class Dequantisation(NamedTuple):
    """z (N, C, ...) at the cleanest level for given images, and log q(z | x_0) in nats, (N,)."""

    z: Tensor
    log_q: Tensor


def truncation(clean: Level, half_width: float) -> float:
    """Up to where the noise of the cleanest level stays within half the distance of two values of a pixel."""
    return (half_width * clean.alpha / clean.sigma).item()


def truncated_noise(uniform: Tensor, limit: float) -> Tensor:
    """A normal z with |z| < limit, at the shares `uniform` in (0, 1) of its distribution function."""
    low = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64)).item()
    return torch.special.ndtri(low + uniform.double() * (1 - 2 * low)).clamp(-limit, limit)


def truncated_normal(x_0: Tensor, noise: Tensor, clean: Level, limit: float) -> Dequantisation:
    """x_0 with the noise of the cleanest level, |noise| < limit (Zheng et al. 2023, section 4.4)."""
    elements = -0.5 * noise**2 - 0.5 * math.log(2 * math.pi) - math.log(math.erf(limit / math.sqrt(2)))
    log_q = elements.flatten(1).sum(1) - x_0[0].numel() * math.log(clean.sigma.item())
    return Dequantisation(clean.x(x_0, noise.to(x_0)), log_q.to(x_0))


def uniform_noise(x_0: Tensor, uniform: Tensor, clean: Level, half_width: float) -> Dequantisation:
    """x_0 with even noise as wide as a value of a pixel, and no other (Theis et al. 2016)."""
    z = clean.alpha.item() * (x_0 + half_width * (2 * uniform.to(x_0) - 1))
    log_q = -x_0[0].numel() * math.log(2 * half_width * clean.alpha.item())
    return Dequantisation(z, torch.full((len(x_0),), log_q, dtype=x_0.dtype, device=x_0.device))
