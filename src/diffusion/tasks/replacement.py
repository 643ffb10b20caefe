"""Inpainting at the cost of plain drawing."""

from collections.abc import Iterator

from diffusion.denoiser.denoiser import transformed
from diffusion.samplers.sampler import Step, trajectory
from diffusion.tasks.known_pixels import FromMasked
from diffusion.tasks.task import Drawing


class Replacement(FromMasked):
    """The pixels that `mask` leaves unknown: what is known is put back into every expected image.

    As fast as plain drawing. But the unknown pixels are drawn to suit the noisy known ones, not the image, and agree
    less with it than they should (Lugmayr et al. 2022, section 4.2); `Inpaint` goes back to mend that.
    """

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        denoise = transformed(drawing.denoise_of(drawing.numbers), self.known(drawing).put_back)
        return trajectory(drawing.sampler, drawing.process, denoise, drawing.noise_of(drawing.numbers))
