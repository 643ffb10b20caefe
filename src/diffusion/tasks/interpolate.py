"""Images on the way between two images, or between two noises."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from diffusion.compute.randomness import generator, normal
from diffusion.inference.prompts import Prompts
from diffusion.inference.task import Task, denoise_and_noise
from diffusion.inference.trained import Trained
from diffusion.process.level import as_factor
from diffusion.samplers.sampler import Sampler, Step, draw
from diffusion.tasks.given_images import given_images


class Interpolate(Task):
    """`count` images from the first of two `images` to the second: both are encoded to the noise that they come from,
    and what lies between is drawn (Song et al. 2021, section 5.3).

    Without images it goes from the noise of image number 0 to that of number 1. It takes a sampler without noise. All
    are told the first of the classes asked for: labels=[3].
    """

    def __init__(self, *, images: Sequence[str] | None = None, count: int = 8) -> None:
        if count < 2:
            raise ValueError(f"count={count} leaves no way between two images; set task.count=8")
        if images is not None and (isinstance(images, str) or len(images) != 2):
            raise ValueError(f"task.images={images} must be two files: 'task.images=[a.png,b.png]', or none")
        self.images, self.count = images, count
        self.ends: Tensor | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"interpolated_{self.count}"

    def open(self, model: Trained, sampler: Sampler) -> None:
        if sampler.draws_noise:
            has_eta = "; set sampler.eta=0" if getattr(sampler, "eta", 0) else "; set sampler=ddim"
            raise ValueError(f"only what is drawn without noise after the first lies between two noises{has_eta}")
        self.ends = None if self.images is None else given_images(self.images, model, "task.images")
        if self.ends is not None and len(self.ends) != 2:
            raise ValueError(f"task.images are {len(self.ends)} images; give two: 'task.images=[a.png,b.png]'")

    def asked(self, prompts: Prompts) -> Prompts:
        return prompts._replace(arguments={name: rows[:1] for name, rows in prompts.arguments.items()})

    def at_most(self, count: int) -> int:
        return self.count

    def steps(
        self, model: Trained, sampler: Sampler, numbers: Sequence[int], *, seed: int, condition: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        first = {name: rows[:1] for name, rows in condition.items()}
        a, b = self.noises(model, sampler, seed=seed, condition=first)
        share = torch.tensor([number / (self.count - 1) for number in numbers], dtype=torch.float64)
        denoise, noise = denoise_and_noise(model, sampler, numbers, seed=seed, condition=condition)
        levels, z = sampler.levels(model.diffusion.process), slerp(a, b, share)
        with torch.no_grad():
            yield from sampler.walk(denoise, levels, as_factor(levels[0].std, z) * z, noise)

    def noises(self, model: Trained, sampler: Sampler, *, seed: int, condition: Mapping[str, Tensor]) -> list[Tensor]:
        """The noise at both ends, each (1, C, H, W)."""
        if self.ends is None:
            return [normal([generator(seed, "sample", n, device=model.device)], model.shape) for n in (0, 1)]
        both = {name: torch.cat([rows, rows]) for name, rows in condition.items()}
        denoise, _ = denoise_and_noise(model, sampler, [0, 1], seed=seed, condition=both)
        x = draw(sampler.encode(denoise, model.diffusion.process, self.ends.to(model.device)))
        return [*x.split(1)]


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """On the great circle from a to b, each (1, C, H, W), at the shares (N,) of the way: (N, C, H, W).

    A mean of two noises would be too small for noise; what lies on the circle is as large as its ends.
    """
    cosine = (a * b).sum() / (a.norm() * b.norm())
    angle = cosine.double().clamp(-1, 1).arccos().item()
    if math.sin(angle) < 1e-6:
        return torch.lerp(a, b, as_factor(share, a))
    of_a, of_b = (as_factor((part * angle).sin() / math.sin(angle), a) for part in (1 - share, share))
    return of_a * a + of_b * b
