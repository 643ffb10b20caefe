from collections.abc import Iterator

from diffusion import Drawing, Step, Task, trajectory, transformed


class Symmetric(Task):
    """Images that are their own mirror image: every expected image is averaged with its mirror image."""

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        denoise = transformed(drawing.denoise_of(drawing.numbers), lambda x_0: (x_0 + x_0.flip(-1)) / 2)
        noise = drawing.noise_of(drawing.numbers)
        return trajectory(drawing.sampler, drawing.process, denoise, noise)
