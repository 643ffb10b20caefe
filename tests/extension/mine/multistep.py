import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from diffusion import Level, Sampler, Step, moves


class Multistep(Sampler):
    """DPM-Solver++(2M): a step that extrapolates from the expected image of the step before (Lu et al. 2022)."""

    def walk(self, denoise, levels: Sequence[Level], x: Tensor, noise) -> Iterator[Step]:
        before, h_before = None, math.inf
        for move in moves(levels):
            x_0, h = denoise(x, move.here).x_0, move.h.item()
            first_order = before is None or not math.isfinite(h) or not math.isfinite(h_before)
            line = x_0 if first_order else x_0 + h / (2 * h_before) * (x_0 - before)
            x = move.coefficients(eta=0).mean(x, line)
            before, h_before = x_0, h
            yield Step(x, x_0)
