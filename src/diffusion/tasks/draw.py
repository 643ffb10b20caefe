"""Plain drawing."""

from collections.abc import Iterator
from typing import ClassVar

from diffusion.samplers.sampler import Step, trajectory
from diffusion.tasks.task import Drawing, Task


class Draw(Task):
    """Images out of noise alone."""

    enlarges: ClassVar = True

    @property
    def name(self) -> str:
        return ""  # what everyone expects

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        denoise, noise = drawing.denoise_of(drawing.numbers), drawing.noise_of(drawing.numbers)
        return trajectory(drawing.sampler, drawing.process, denoise, noise)
