"""What is done with a trained model: images drawn from noise, or made out of other images."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor

from diffusion.compute.randomness import generator, normal
from diffusion.denoiser.denoiser import Denoise, clip
from diffusion.inference.draw import draw_steps
from diffusion.inference.prompts import Prompts
from diffusion.inference.trained import Trained
from diffusion.process.level import Level
from diffusion.samplers.sampler import Sampler, Step


class Task:
    """Draws images from noise. Others are subclasses, which begin elsewhere.

    Each image is a function of the seed, its number and what it is made of, whatever batch it is in.
    """

    name: str = ""
    """A part of the name of the folder"""

    def open(self, model: Trained, sampler: Sampler) -> None:
        """Read what the task needs; ValueError if this model or sampler cannot do it."""

    def asked(self, prompts: Prompts) -> Prompts:
        """What is asked of the network, of what the command line asks."""
        return prompts

    def at_most(self, count: int) -> int:
        """How many images there are to make, if `count` are asked for."""
        return count

    def steps(
        self, model: Trained, sampler: Sampler, numbers: Sequence[int], *, seed: int, condition: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        """Every step of making the images of these numbers, each told its part of `condition` (N, ...)."""
        return draw_steps(model, sampler, numbers, seed=seed, condition=condition)

    def beside(self, numbers: Sequence[int]) -> list[Tensor]:
        """What each image was made of, to be shown to its left: images (N, C, H, W) in [-1, 1]."""
        return []


def denoise_and_noise(
    model: Trained, sampler: Sampler, numbers: Sequence[int], *, seed: int, condition: Mapping[str, Tensor]
) -> tuple[Denoise, Callable[[], Tensor]]:
    """The model's denoiser as it is drawn with, and the noise of the images of these numbers, one after the other."""
    generators = [generator(seed, "sample", number, device=model.device) for number in numbers]
    denoise = model.guidance(model.denoiser, condition, clip if sampler.clip else None)
    return denoise, lambda: normal(generators, model.shape)


def from_share(levels: Sequence[Level], share: float) -> list[Level]:
    """The last of a sampler's levels, so many that `share` of its steps are left, one at least."""
    steps = len(levels) - 1
    return [*levels[steps - max(1, round(share * steps)) :]]
