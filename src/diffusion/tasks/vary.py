"""Versions of an image."""

from collections.abc import Iterator

from diffusion.process.process import Process
from diffusion.samplers.ddim import DDIM
from diffusion.samplers.sampler import Sampler, Step, descent
from diffusion.tasks.from_images import FromImages, Images
from diffusion.tasks.image_to_image import levels_from, require_strength
from diffusion.tasks.latents import latents
from diffusion.tasks.task import Drawing


class Vary(FromImages):
    """Several versions of each given image: encoded without noise, and drawn back with some (Song et al. 2021).

    An image is walked up, by DDIM, to the share `strength` in (0, 1] of the way to noise; what the sampler draws on the
    way back makes the difference. It keeps more of the image than `ImageToImage`, which draws the noise at that level
    too.
    """

    def __init__(self, *, images: Images, versions: int = 8, strength: float = 0.7) -> None:
        super().__init__(images=images, versions=versions)
        self.strength = require_strength(strength)

    def check(self, sampler: Sampler, process: Process, shape: tuple[int, int, int]) -> None:
        super().check(sampler, process, shape)
        if not sampler.draws_noise:
            raise ValueError(
                f"{type(sampler).__name__} without noise draws the same image each time; set sampler=ancestral, or "
                "sampler.eta=1 where the sampler has it"
            )

    def num_steps(self, sampler: Sampler, process: Process) -> int:
        return len(levels_from(sampler, process, self.strength)) - 1

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        sampler, denoise = drawing.sampler, drawing.denoise_of(drawing.numbers)
        levels = levels_from(sampler, drawing.process, self.strength)
        x = latents(DDIM(), denoise, levels, self.originals(drawing))
        return descent(sampler, denoise, levels, x, drawing.noise_of(drawing.numbers))
