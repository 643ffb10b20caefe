"""Ancestral sampling: draw x_s from p(x_s | x_t) itself."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.process.level import Level, moves
from diffusion.samplers.sampler import Noise, Sampler, Step


class Ancestral(Sampler):
    """x_s = mean + std * noise, and the mean alone where s is the image (Ho et al. 2020, algorithm 2)."""

    def walk(self, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise) -> Iterator[Step]:
        for move in moves(levels):
            said = denoise(x, move.here)
            reverse = said.reverse(move)
            # Noise is asked for at every step, so that what is drawn next does not depend on where this walk ends.
            z = noise()
            x = reverse.mean + (0.5 * reverse.log_variance).exp() * z if move.there.sigma > 0 else reverse.mean
            yield Step(x, said.x_0)
