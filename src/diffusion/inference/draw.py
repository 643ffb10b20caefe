"""Images by number: each a function of the seed and its own number, whatever batch it is drawn in."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from diffusion.compute.randomness import generator, normal
from diffusion.denoiser.denoiser import Denoise, clip
from diffusion.inference.trained import Trained
from diffusion.samplers.sampler import Noise, Sampler, Step
from diffusion.tasks.draw import Draw
from diffusion.tasks.task import Drawing, Task


def draw_steps(
    model: Trained, sampler: Sampler, numbers: Iterable[int], *, seed: int, condition: Mapping[str, Tensor]
) -> Iterator[Step]:
    """Every step of drawing the images number `numbers` of `seed`, each told its part of `condition` (N, ...)."""
    return task_steps(model, sampler, Draw(), numbers, seed=seed, told=lambda _: condition)


@torch.no_grad()
def task_steps(
    model: Trained, sampler: Sampler, task: Task, numbers: Iterable[int], *, seed: int,
    told: Callable[[Sequence[int]], Mapping[str, Tensor]],
) -> Iterator[Step]:  # fmt: skip
    """Every step of a task for the images number `numbers` of `seed`; `told` gives the condition (N, ...) of N rows."""

    def denoise_of(rows: Sequence[int]) -> Denoise:
        return model.guidance(model.denoiser, told(rows), clip if sampler.clip else None)

    def noise_of(numbers: Sequence[int]) -> Noise:
        generators = [generator(seed, "sample", number, device=model.device) for number in numbers]
        return lambda: normal(generators, model.shape)

    drawing = Drawing(list(numbers), sampler, model.diffusion.process, denoise_of, noise_of, model.shape, model.device)
    yield from task.steps(drawing)
