"""Heun's method: two calls a step, and noise added on the way (Karras et al. 2022)."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from diffusion.denoiser.denoiser import Denoise, Denoised
from diffusion.process.level import Level, Move, as_factor, moves
from diffusion.samplers.sampler import Noise, Sampler, Step, moved, require_order
from diffusion.samplers.spacing import Spacing

COORDINATES = ("ratio", "path")


class Heun(Sampler):
    """The trapezoid rule of the probability flow (Karras et al. 2022, algorithms 1 and 2); with `order` 1, Euler's.

    `coordinate` says along what: "ratio", where x_t / alpha moves by eps d(sigma / alpha) as in the paper, or "path",
    where x_t moves by x_0 d alpha + eps d sigma, as flow matching does. A step to the image, or, along the ratio, out
    of pure noise, has one call and is of order 1.

    `churn` first adds noise to x_t: sigma / alpha rises by a factor 1 + min(churn / steps, sqrt(2) - 1) where it lies
    from `churn_low` to `churn_high`, with `churn_noise` times the noise that takes (S_churn, S_min, S_max, S_noise).
    """

    def __init__(
        self, *, steps: int | str | None = None, spacing: Spacing | None = None, clip: bool = True, order: int = 2,
        coordinate: str = "ratio", churn: float = 0.0, churn_low: float = 0.0, churn_high: float | None = None,
        churn_noise: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(steps=steps, spacing=spacing, clip=clip)
        if coordinate not in COORDINATES:
            raise ValueError(f"coordinate={coordinate} is unknown; set sampler.coordinate={' or '.join(COORDINATES)}")
        if churn < 0:
            raise ValueError(f"churn={churn} must be 0 or more; set sampler.churn=0")
        if not 0 <= churn_low <= (math.inf if churn_high is None else churn_high):
            raise ValueError(
                f"churn_low={churn_low} must lie between 0 and churn_high={churn_high}; set sampler.churn_low and _high"
            )
        self.order, self.coordinate = require_order(order, 2), coordinate
        self.churn, self.churn_low, self.churn_high, self.churn_noise = churn, churn_low, churn_high, churn_noise

    @property
    def draws_noise(self) -> bool:
        return self.churn > 0

    def walk(self, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
        rise = math.log1p(min(self.churn / sum(bool(level.sigma > 0) for level in levels), math.sqrt(2) - 1))
        for move in moves(levels):
            if self.churn:
                # Asked for at every step, so that what is drawn does not depend on where noise is added.
                x, move = self.churned(move, x, noise(), rise)
            said = denoise(x, move.here)
            x, _ = moved(move, x, said, said.x_0)
            if self.order == 2 and self.turns(move):
                x = x + self.turn(move, said, denoise(x, move.there), x)
            yield Step(x, said.x_0)

    def churned(self, move: Move, x: Tensor, z: Tensor, rise: float) -> tuple[Tensor, Move]:
        """x_t with more noise, and the move that leads on from there."""
        here, high = move.here, math.inf if self.churn_high is None else self.churn_high
        if not bool(here.alpha > 0) or not self.churn_low <= (here.sigma / here.alpha).item() <= high:
            return x, move
        if here.at is None:
            raise ValueError("this process has no levels between those it lists; set sampler.churn=0")
        noisier = here.at(here.log_snr - 2 * rise)
        up = Move(noisier, here)
        x = as_factor(noisier.alpha / here.alpha, x) * x + as_factor(self.churn_noise * up.upper.sqrt(), x) * z
        return x, move._replace(here=noisier)

    def turns(self, move: Move) -> bool:
        """Whether both ends of a step have a direction: no image, nor, along the ratio, pure noise."""
        regular = ("sigma",) if self.coordinate == "path" else ("sigma", "alpha")
        return all(bool(getattr(level, part) > 0) for level in (move.here, move.there) for part in regular)

    def turn(self, move: Move, said: Denoised, ahead: Denoised, x: Tensor) -> Tensor:
        """What half of the change of direction between x_t and Euler's x_s = `x` adds."""
        here, there = move.here, move.there
        x_0 = ahead.x_0 - said.x_0
        # Euler's x_s is what both of them make of it: alpha_s x_0 + sigma_s eps.
        eps = -as_factor(there.alpha / there.sigma, x) * x_0
        if self.coordinate == "ratio":
            return as_factor((there.sigma - there.alpha * here.sigma / here.alpha) / 2, x) * eps
        return (as_factor(there.alpha - here.alpha, x) * x_0 + as_factor(there.sigma - here.sigma, x) * eps) / 2
