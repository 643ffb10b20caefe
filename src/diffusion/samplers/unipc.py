"""UniPC: each step's own call corrects it before the next one is taken."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level, Move, moves
from diffusion.samplers.sampler import Noise, Sampler, Step, moved, require_order
from diffusion.samplers.spacing import LogSNRSpacing, Spacing


class Known(NamedTuple):
    """An expected image x_0, and the log(alpha / sigma) at which it was."""

    place: float
    x_0: Tensor


class UniPC(Sampler):
    """One call a step: a predictor of `order` 1, 2 or 3, corrected by what the network says of its end (Zhao et al.
    2023, with B(h) = e^h - 1).

    Its steps are even in log-SNR by default. A step out of pure noise, or to the image, is of order 1.
    """

    def __init__(
        self, *, steps: int | str | None = None, spacing: Spacing | None = None, clip: bool = True, order: int = 2
    ) -> None:
        super().__init__(steps=steps, spacing=spacing or LogSNRSpacing(), clip=clip)
        self.order = require_order(order, 3)

    @property
    def draws_noise(self) -> bool:
        return False

    def walk(self, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
        steps, known = moves(levels), list[Known]()
        step: UniStep | None = None
        for number, move in enumerate(steps):
            said = denoise(x, move.here)
            now = Known((move.here.log_snr / 2).item(), said.x_0)
            known = [earlier for earlier in known if earlier.place != now.place]  # a level may be listed twice
            if step is not None and math.isfinite(step.h) and step.h:
                x = step.corrected(now)
            base, _ = moved(move, x, said, said.x_0)
            order = min(self.order, len(steps) - number, len(known) + 1)
            step = UniStep(move, base, now, known[: order - 1])
            x = step.predicted()
            known = [now, *known[:1]] if math.isfinite(now.place) else []
            yield Step(x, said.x_0)


class UniStep:
    """One step: `base`, which is of order 1, made better by the images `before` that of its beginning, `now`."""

    def __init__(self, move: Move, base: Tensor, now: Known, before: list[Known]) -> None:
        self.base, self.now, self.h = base, now, move.h.item()
        self.before = before if math.isfinite(self.h) and self.h else []
        self.per_x_0 = move.there.alpha.item() * -math.expm1(-self.h)

    def predicted(self) -> Tensor:
        half = [0.5] if len(self.before) == 1 else None
        return self.with_differences(self.before, half)

    def corrected(self, end: Known) -> Tensor:
        return self.with_differences([*self.before, end], None if self.before else [0.5])

    def with_differences(self, others: list[Known], shares: list[float] | None) -> Tensor:
        """The base and the differences of `others` to `now`, in these shares or those that solve for the order."""
        if not others:
            return self.base
        ratios = [(other.place - self.now.place) / self.h for other in others]
        shares = solved(ratios, self.h) if shares is None else shares
        terms = zip(shares, ratios, others, strict=True)
        change = sum((share / ratio * (other.x_0 - self.now.x_0) for share, ratio, other in terms))
        return self.base + self.per_x_0 * change


def solved(ratios: list[float], h: float) -> list[float]:
    """rho with sum_j rho_j ratio_j^(q - 1) = b_q for q = 1 .. K, K numbers (Zhao et al. 2023, eq. 9)."""
    rows, moments, f = [], [], math.expm1(-h) / -h - 1
    for q in range(1, len(ratios) + 1):
        rows.append([ratio ** (q - 1) for ratio in ratios])
        moments.append(f * math.factorial(q) / math.expm1(-h))
        f = f / -h - 1 / math.factorial(q + 1)
    return torch.linalg.solve(*(torch.tensor(part, dtype=torch.float64) for part in (rows, moments))).tolist()
