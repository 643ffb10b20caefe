"""DPM-Solver++: the expected image, extrapolated along the way from those of the steps before."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level, as_factor, moves
from diffusion.samplers.sampler import Noise, Sampler, Step, moved, require_eta, require_order
from diffusion.samplers.spacing import LogSNRSpacing, Spacing

FEW = 15  # steps, below which the last but one of order 3 is of order 2, as published


class DPMSolver(Sampler):
    """One call a step, of `order` 1, 2 or 3 in the step of log-SNR (Lu et al. 2022, algorithm 2).

    Order 1 is DDIM. Order 3 is computed as published, with half of the second difference that it takes: it converges as
    order 2 does, with a third of its error or less. `eta` (0 to 1) adds noise as DDIM's does: order 2 with eta = 1 is
    the solver of the stochastic equation, and order 1 with eta = 1 draws from q(x_s | x_t, x_0). Its steps are even in
    log-SNR by default. A step out of pure noise, or to the image, is of order 1.
    """

    def __init__(
        self, *, steps: int | str | None = None, spacing: Spacing | None = None, clip: bool = True, order: int = 2,
        eta: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(steps=steps, spacing=spacing or LogSNRSpacing(), clip=clip)
        self.order, self.eta = require_order(order, 3), require_eta(eta)
        if order == 3 and eta:
            raise ValueError(f"order 3 has no form with noise, eta is {eta}; set sampler.eta=0, or sampler.order=2")

    @property
    def draws_noise(self) -> bool:
        return self.eta > 0

    def walk(self, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
        steps, before = moves(levels), History()
        for number, move in enumerate(steps):
            said, h = denoise(x, move.here), move.h.item()
            order = self.order
            if order == 3 and len(steps) < FEW and number == len(steps) - 2:
                order = 2
            mean, std = moved(move, x, said, before.extrapolated(said.x_0, h, order), eta=self.eta)
            x = mean + as_factor(std, x) * noise() if self.eta else mean
            before.add(said.x_0, h)
            yield Step(x, said.x_0)


class History:
    """The expected images of up to two steps before, and how far each of these led in log(alpha / sigma)."""

    def __init__(self) -> None:
        self.steps: list[tuple[Tensor, float]] = []  # the latest first

    def add(self, x_0: Tensor, h: float) -> None:
        # No line leads through pure noise, nor through a level that is listed twice.
        self.steps = [(x_0, h), *self.steps[:1]] if math.isfinite(h) and h else []

    def extrapolated(self, x_0: Tensor, h: float, order: int) -> Tensor:
        """What x_0 is on the mean of the next step, of length h, by a line or a parabola through those before."""
        if order == 1 or not self.steps or not math.isfinite(h) or not h:
            return x_0
        (last, h_last), *earlier = self.steps
        slope = (x_0 - last) * (h / h_last)  # change per step of length h
        if order == 2 or not earlier:
            return x_0 + slope / 2
        (first, h_first), r_0, r_1 = earlier[0], h_last / h, earlier[0][1] / h
        bend = (slope - (last - first) * (h / h_first)) / (r_0 + r_1)
        slope = slope + r_0 * bend
        gain = -math.expm1(-h)
        return x_0 + slope * (1 / gain - 1 / h) - bend * ((h - gain) / h**2 - 0.5) / gain
