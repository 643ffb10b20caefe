"""DDIM: a family of samplers between a deterministic one and the ancestral."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level, as_factor, moves
from diffusion.samplers.sampler import Noise, Sampler, Step, moved, require_eta
from diffusion.samplers.spacing import Spacing


class DDIM(Sampler):
    """x_s points at the expected x_0, with `eta` (0 to 1) times the ancestral noise (Song et al. 2021, eq. 12).

    With eta = 0 it draws no noise after x_T, and `encode` walks the same path from an image to its x_T.
    """

    def __init__(
        self, *, steps: int | str | None = None, spacing: Spacing | None = None, clip: bool = True, eta: float = 0.0
    ) -> None:
        super().__init__(steps=steps, spacing=spacing, clip=clip)
        self.eta = require_eta(eta)

    @property
    def draws_noise(self) -> bool:
        return self.eta > 0

    def walk(self, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
        for move in moves(levels):
            said = denoise(x, move.here)
            mean, std = moved(move, x, said, said.x_0, eta=self.eta)
            x = mean + as_factor(std, x) * noise() if self.eta else mean
            yield Step(x, said.x_0)
