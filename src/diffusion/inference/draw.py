"""Images by number: each a function of the seed and its own number, whatever batch it is drawn in."""

from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor

from diffusion.compute.randomness import generator, normal
from diffusion.denoiser.denoiser import clip
from diffusion.inference.trained import Trained
from diffusion.samplers.sampler import Sampler, Step, trajectory


def draw_steps(
    model: Trained, sampler: Sampler, numbers: Iterable[int], *, seed: int, condition: Mapping[str, Tensor]
) -> Iterator[Step]:
    """Every step of drawing the images number `numbers` of `seed`, each told its part of `condition` (N, ...)."""
    generators = [generator(seed, "sample", number, device=model.device) for number in numbers]
    denoise = model.guidance(model.denoiser, condition, clip if sampler.clip else None)
    return trajectory(sampler, model.diffusion.process, denoise, lambda: normal(generators, model.shape))
