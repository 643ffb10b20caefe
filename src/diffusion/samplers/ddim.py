"""DDIM: a family of samplers between a deterministic one and the ancestral."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level, Move, as_factor, moves
from diffusion.process.process import Process
from diffusion.samplers.sampler import Noise, Sampler, Step
from diffusion.samplers.spacing import Spacing


class DDIM(Sampler):
    """x_s points at the expected x_0, with `eta` (0 to 1) times the ancestral noise (Song et al. 2021, eq. 12).

    With eta = 0 it draws no noise after x_T, and `encode` walks the same path from an image to its x_T.
    """

    def __init__(
        self, *, steps: int | str | None = None, spacing: Spacing | None = None, clip: bool = True, eta: float = 0.0
    ) -> None:
        super().__init__(steps=steps, spacing=spacing, clip=clip)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta lies between 0 (deterministic) and 1, got {eta}; set sampler.eta")
        self.eta = eta

    def walk(self, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
        for move in moves(levels):
            x_0 = denoise(x, move.here).x_0
            x = self.step(move, x, x_0, noise)
            yield Step(x, x_0)

    def step(self, move: Move, x: Tensor, x_0: Tensor, noise: Noise) -> Tensor:
        """x_s of x_t and the image x_0 expected in it, up or down."""
        coefficients = move.coefficients(self.eta)
        mean = coefficients.mean(x, x_0)
        return mean + as_factor(coefficients.std, x) * noise() if self.eta else mean

    @torch.no_grad()
    def encode(self, denoise: Denoise, process: Process, x_0: Tensor) -> Iterator[Step]:
        """Every step from images x_0 in [-1, 1], taken for the least noisy level, to the x_T that they come from."""
        if self.eta:
            raise ValueError(f"only the path without noise can be walked back, eta is {self.eta}; set sampler.eta=0")
        up = [*reversed(self.levels(process)[:-1]), process.pure_noise()]
        yield from self.walk(denoise, up, x_0, lambda: x_0)
