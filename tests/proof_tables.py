"""What the samplers are proven by, as tables: `python tests/proof_tables.py` prints those of docs/proofs.md.

Data are a mixture of two normal distributions in one dimension, where the denoiser, the flow (by quantiles) and its
density are known exactly. Every error is the largest of nine points, after walking from log-SNR -6 to 6.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from modern_cases import exact_x_0
from torch import Tensor

from diffusion import (
    DDIM,
    Ancestral,
    Chain,
    Continuum,
    Cosine,
    CosineLogSNR,
    DPMSolver,
    EvenLogSNR,
    Exploding,
    Heun,
    Level,
    Linear,
    Sampler,
    Sigmoid,
    Straight,
    StraightTime,
    UniPC,
    VariancePreserving,
)
from diffusion.denoiser.denoiser import Denoised, ReverseGaussian
from diffusion.process.level import as_factor
from diffusion.process.log_snr import KarrasLogSNR
from diffusion.process.process import Process

LOW, HIGH = -6.0, 6.0
STEPS = (64, 128, 256)
MIXTURE = {
    "w": torch.tensor([0.4, 0.6], dtype=torch.float64),
    "m": torch.tensor([-0.7, 0.5], dtype=torch.float64).view(2, 1, 1, 1),
    "s": torch.tensor(0.25, dtype=torch.float64),
}
PROCESSES: dict[str, Process] = {
    "linear chain": Chain(Linear().betas(4000)),
    "cosine chain": Chain(Cosine().betas(4000)),
    "sigmoid chain": Chain(Sigmoid().betas(4000).clamp(min=1e-12)),
    "cosine, without steps": Continuum(CosineLogSNR(top=HIGH, bottom=LOW), VariancePreserving()),
    "even log-SNR": Continuum(EvenLogSNR(top=HIGH, bottom=LOW), VariancePreserving()),
    "EDM, rho 7": Continuum(KarrasLogSNR(top=HIGH, bottom=LOW), VariancePreserving(data_std=0.5)),
    "exploding, rho 7": Continuum(KarrasLogSNR(top=HIGH, bottom=LOW), Exploding(data_std=0.5)),
    "flow": Continuum(StraightTime(top=HIGH, bottom=LOW), Straight()),
}
SAMPLERS: dict[str, tuple[Sampler, float]] = {
    "DDIM": (DDIM(), 1),
    "Euler": (Heun(order=1), 1),
    "UniPC 1": (UniPC(order=1), 2),  # its corrector is of order 2
    "DPM-Solver++ 2": (DPMSolver(order=2), 2),
    "Heun, ratio": (Heun(), 2),
    "Heun, path": (Heun(coordinate="path"), 2),
    "UniPC 2": (UniPC(order=2), 3),
    "DPM-Solver++ 3": (DPMSolver(order=3), 3),
}


def denoise(x: Tensor, level: Level) -> Denoised:
    return Denoised(exact_x_0(MIXTURE)(x, level), lambda move, x_0: ReverseGaussian(x_0, x_0, x_0))


def distribution(x: Tensor, level: Level) -> Tensor:
    """The distribution function of x_t."""
    alpha, std = level.alpha.item(), (level.alpha**2 * MIXTURE["s"] ** 2 + level.sigma**2).sqrt().item()
    means = alpha * MIXTURE["m"].flatten()
    return (MIXTURE["w"] * torch.special.ndtr((x[..., None] - means) / std)).sum(-1)


def quantile(share: Tensor, level: Level) -> Tensor:
    """Where the distribution function of x_t reaches `share`, by bisection."""
    reach = 10 * level.std.item()
    low, high = torch.full_like(share, -reach), torch.full_like(share, reach)
    for _ in range(200):
        middle = (low + high) / 2
        below = distribution(middle, level) < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def grid(process: Process, steps: int) -> list[Level]:
    """Levels even in the process's own coordinate, from log-SNR -6 to 6."""
    ends = process.at(torch.tensor([LOW, HIGH], dtype=torch.float64))
    if process.length is not None:
        t = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    else:
        t = process.t(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
    return process.walk(t)[:-1]


def transport_error(process: Process, sampler: Sampler, steps: int) -> float:
    levels = grid(process, steps)
    shares = torch.linspace(0.02, 0.98, 9, dtype=torch.float64)
    x = quantile(shares, levels[0]).view(-1, 1, 1, 1)
    *_, end = sampler.walk(denoise, levels, x, None)
    return (end.x.flatten() - quantile(shares, levels[-1])).abs().max().item()


def orders(processes: Sequence[str]) -> Iterator[tuple[str, dict[str, tuple[float, float, float]]]]:
    """For each process: by sampler, the errors at 64 and 256 steps, and the slope from 128 to 256."""
    for name in processes:
        process, row = PROCESSES[name], {}
        for kind, (sampler, _) in SAMPLERS.items():
            first, middle, last = (transport_error(process, sampler, steps) for steps in STEPS)
            row[kind] = (first, last, math.log2(middle / last))
        yield name, row


MEAN, STD = 0.3, 0.4


def normal_denoise(x: Tensor, level: Level, mean: float = MEAN) -> Denoised:
    """The exact denoiser, and reverse steps, of N(mean, STD^2)."""
    spread = level.alpha**2 * STD**2 + level.sigma**2
    x_0 = mean + as_factor(level.alpha * STD**2 / spread, x) * (x - as_factor(level.alpha, x) * mean)

    def gaussian(move, x_0):
        before = move.there.alpha**2 * STD**2 + move.there.sigma**2
        between = move.here.sigma**2 - (move.here.alpha / move.there.alpha) ** 2 * move.there.sigma**2
        variance = as_factor(between * before / spread, x).expand_as(x)
        return ReverseGaussian(move.mean(x, x_0), variance, variance.log())

    return Denoised(x_0, gaussian)


STOCHASTIC: dict[str, tuple[Sampler, float | None]] = {
    "ancestral, exact variance": (Ancestral(), None),
    "DDIM, eta 0.5": (DDIM(eta=0.5), 1),
    "DDIM, eta 1": (DDIM(eta=1.0), 1),
    "DPM-Solver++ 2, eta 0.5": (DPMSolver(order=2, eta=0.5), 2),
    "DPM-Solver++ 2, eta 1": (DPMSolver(order=2, eta=1.0), 2),
    "Heun, churn 5": (Heun(churn=5.0), None),
}


def variance_error(process: Process, sampler: Sampler, steps: int) -> float:
    """How far the variance of what is drawn of normal data is from its own, relatively.

    Every sampler is affine, so that each noise fed alone gives its share, and nothing is left to chance.
    """
    levels = grid(process, steps)
    count = steps + 2
    noises = iter(torch.eye(count, dtype=torch.float64).view(count, count, 1, 1, 1))
    true = [level.alpha**2 * STD**2 + level.sigma**2 for level in (levels[0], levels[-1])]
    x = as_factor(true[0].sqrt(), MIXTURE["m"]) * next(noises)
    *_, end = sampler.walk(normal_denoise, levels, x + levels[0].alpha.item() * MEAN, lambda: next(noises))
    end_x = end.x.flatten()
    return abs((((end_x[:-1] - end_x[-1]) ** 2).sum() / true[1] - 1).item())


def moments(processes: Sequence[str]) -> Iterator[tuple[str, dict[str, tuple[float, float]]]]:
    """For each process: by sampler, the error of the variance at 256 steps, and the slope of it from 128 to 256."""
    for name in processes:
        process, row = PROCESSES[name], {}
        for kind, (sampler, _) in STOCHASTIC.items():
            middle, last = (variance_error(process, sampler, steps) for steps in STEPS[1:])
            row[kind] = (last, math.log2(middle / last) if last > 1e-12 else math.inf)
        yield name, row


def table(rows: dict[str, dict[str, tuple]], cell: Callable[[tuple], str]) -> str:
    kinds = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cell(row[kind]) for kind in kinds) + " |" for name, row in rows.items()]
    return "\n".join(lines)


def print_tables() -> None:
    every = [*PROCESSES]
    print(table(dict(orders(every)), lambda c: f"{c[0]:.0e} .. {c[1]:.0e}, **{c[2]:.2f}**"))
    print()
    print(table(dict(moments(every)), lambda c: f"{c[0]:.0e}, " + ("exact" if c[1] == math.inf else f"**{c[1]:.2f}**")))


if __name__ == "__main__":
    print_tables()
