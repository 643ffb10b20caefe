from collections.abc import Iterator, Sequence

from torch import Tensor

from diffusion import Level, Sampler, Step, as_factor, moves


class Heun(Sampler):
    """The trapezoid rule for d(x / alpha) = eps d(sigma / alpha): two calls a step (Karras et al. 2022)."""

    def walk(self, denoise, levels: Sequence[Level], x: Tensor, noise) -> Iterator[Step]:
        for here, there, _ in moves(levels):
            x_0 = denoise(x, here).x_0
            eps = here.eps(x, x_0)
            x = there.x(x_0, eps)
            if here.alpha > 0 and there.sigma > 0:
                turn = there.eps(x, denoise(x, there).x_0) - eps
                x = x + as_factor((there.sigma - there.alpha * here.sigma / here.alpha) / 2, x) * turn
            yield Step(x, x_0)
