"""How fast each sampler without noise comes to the exact transport of a mixture as its steps grow in number."""

from __future__ import annotations

import math
from collections.abc import Callable

from proofs.cases import DETERMINISTIC, laid_out, slope
from proofs.mixture import LINE, TWO, float64
from torch import Tensor

from diffusion import Continuum, EvenLogSNR, VariancePreserving
from diffusion.process.level import Level, Move, moves
from diffusion.samplers.dpm_solver import History
from diffusion.samplers.sampler import moved
from diffusion.samplers.unipc import Known, UniStep


def distance(process: str, sampler: str, steps: int, *, up: bool = False) -> float:
    """Of 9 points from where the quantiles say that they go; the worst.

    Taken where log-SNR is 6, before the last step, to the image; or, upwards, where it is -6.
    """
    _, own, levels = laid_out(process, DETERMINISTIC[sampler].sampler, steps)
    if up:
        # One level more, as the image is one, so that the last step measured is of full order.
        beyond = levels[0].at(levels[0].log_snr - 0.1)
        levels = [*reversed(levels[:-1]), beyond]
    x = LINE * levels[0].std
    *_, end, _ = own.walk(TWO.denoise, levels, x, lambda: x)
    return (end.x - TWO.transport(x, levels[0], levels[-2])).abs().max().item()


def there_and_back(process: str, sampler: str, steps: int) -> float:
    """How far 9 points are from themselves after a walk up and one down."""
    _, own, levels = laid_out(process, DETERMINISTIC[sampler].sampler, steps)
    levels = levels[:-1]
    x = LINE * levels[-1].std
    *_, end = own.walk(TWO.denoise, levels[::-1], x, lambda: x)
    *_, back = own.walk(TWO.denoise, levels, end.x, lambda: x)
    return (back.x - x).abs().max().item()


def figures(process: str, sampler: str, **way: bool) -> tuple[float, float]:
    """(order at as many steps as the sampler's law names, distance at 256)."""
    steps = DETERMINISTIC[sampler].steps
    errors = {count: distance(process, sampler, count, **way) for count in (steps // 2, steps)}
    return slope(*errors.values()), errors[256]


# One step whose history is exact: the order of a formula, whatever the first steps are.

OneStep = Callable[[list[Level], list[Tensor], Tensor], Tensor]


def by_dpm_solver(order: int) -> OneStep:
    def step(levels: list[Level], x_0: list[Tensor], x: Tensor) -> Tensor:
        *before, move = moves(levels)
        history = History()
        for earlier, image in zip(before, x_0, strict=False):
            history.add(image, earlier.h.item())
        return moved(move, x, TWO.denoise(x, move.here), history.extrapolated(x_0[2], move.h.item(), order))[0]

    return step


def by_unipc(order: int, *, corrected: bool) -> OneStep:
    def step(levels: list[Level], x_0: list[Tensor], x: Tensor) -> Tensor:
        move = Move(*levels[2:])
        first, last, now, end = (
            Known(level.log_snr.item() / 2, image) for level, image in zip(levels, x_0, strict=True)
        )
        taken = UniStep(move, moved(move, x, TWO.denoise(x, move.here), x_0[2])[0], now, [last, first][: order - 1])
        return taken.corrected(end) if corrected else taken.predicted()

    return step


ONE_STEP: dict[str, tuple[int, OneStep]] = {
    "DPM-Solver 1 (DDIM)": (1, by_dpm_solver(1)),
    "DPM-Solver 2": (2, by_dpm_solver(2)),
    "DPM-Solver 3": (2, by_dpm_solver(3)),
    "UniPC 1, predicted": (1, by_unipc(1, corrected=False)),
    "UniPC 2, predicted": (2, by_unipc(2, corrected=False)),
    "UniPC 3, predicted": (3, by_unipc(3, corrected=False)),
    "UniPC 1, corrected": (2, by_unipc(1, corrected=True)),
    "UniPC 2, corrected": (3, by_unipc(2, corrected=True)),
    "UniPC 3, corrected": (4, by_unipc(3, corrected=True)),
}


def local_error(step: OneStep, h: float) -> float:
    """After steps of 1.3 h and 0.7 h, one of h in log(alpha / sigma), from where it is 0.3."""
    process = Continuum(EvenLogSNR(), VariancePreserving())
    levels = [process.level(float64(2 * (0.3 + share * h))) for share in (-2.0, -0.7, 0.0, 1.0)]
    exact = [TWO.transport(LINE, levels[2], level) for level in levels]
    x_0 = [TWO.x_0(x, level) for x, level in zip(exact, levels, strict=True)]
    return (step(levels, x_0, exact[2]) - exact[3]).abs().max().item()


def local_order(step: OneStep) -> float:
    """The order of the error of one step, less the 1 that adding up the steps costs."""
    return slope(local_error(step, 0.02), local_error(step, 0.01)) - 1


def order_of_difference(process: str) -> float:
    """Between Heun's method along the ratio and along the path, whose steps are not the same."""

    def difference(steps: int) -> float:
        ends = []
        for name in ("Heun, ratio", "Heun, path"):
            _, own, levels = laid_out(process, DETERMINISTIC[name].sampler, steps)
            *_, end, _ = own.walk(TWO.denoise, levels, LINE * levels[0].std, None)
            ends.append(end.x)
        return (ends[0] - ends[1]).abs().max().item()

    return (
        slope(difference(64), difference(128)) if difference(8) > 1e-9 else math.inf
    )  # where alpha is 1, they are one
