"""Inpainting at the cost of plain drawing."""

from collections.abc import Iterator

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise, Denoised, ReverseGaussian
from diffusion.process.level import Level, Move
from diffusion.samplers.sampler import Step, trajectory
from diffusion.tasks.known_pixels import FromMasked, KnownPixels
from diffusion.tasks.task import Drawing


class Replacement(FromMasked):
    """The pixels that `mask` leaves unknown: what is known is put back into every expected image.

    As fast as plain drawing. But the unknown pixels are drawn to suit the noisy known ones, not the image, and agree
    less with it than they should (Lugmayr et al. 2022, section 4.2); `Inpaint` goes back to mend that.
    """

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        denoise = replacing(drawing.denoise_of(drawing.numbers), self.known(drawing))
        return trajectory(drawing.sampler, drawing.process, denoise, drawing.noise_of(drawing.numbers))


def replacing(denoise: Denoise, known: KnownPixels) -> Denoise:
    """What is known put back into every expected image, and into the mean of p(x_s | x_t), which a guide may have moved
    whatever the expected image is."""

    def put_back(x: Tensor, level: Level) -> Denoised:
        said = denoise(x, level)

        def gaussian(move: Move, x_0: Tensor) -> ReverseGaussian:
            reverse = said.gaussian(move, x_0)
            return reverse._replace(mean=torch.where(known.mask, move.mean(x, x_0), reverse.mean))

        return said._replace(x_0=known.put_back(said.x_0), gaussian=gaussian)

    return put_back
