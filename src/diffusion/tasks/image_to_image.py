"""Images from images: noise is added to them, and they are drawn anew from there."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from diffusion.inference.task import Task, denoise_and_noise, from_share
from diffusion.inference.trained import Trained
from diffusion.process.level import Level
from diffusion.samplers.sampler import Sampler, Step
from diffusion.tasks.given_images import given_images


class ImageToImage(Task):
    """Each of the `images` is noised to the level from which `strength` of the sampler's steps are left, and drawn from
    there (Meng et al. 2022, SDEdit).

    Strength 1 begins at the noisiest level, where little of an image is left. More images than are given are further
    versions of them, by other noise. `images` are files, a folder, or an npz.
    """

    def __init__(self, *, images: str | Sequence[str] | None = None, strength: float = 0.5) -> None:
        if not 0 < strength <= 1:
            raise ValueError(f"strength={strength} must lie in (0, 1]; set task.strength=0.5")
        self.images, self.strength = images, strength
        self.x_0 = torch.empty(0)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"from_images_{self.strength:g}"

    def open(self, model: Trained, sampler: Sampler) -> None:
        self.x_0 = given_images(self.images, model, "task.images")

    def steps(
        self, model: Trained, sampler: Sampler, numbers: Sequence[int], *, seed: int, condition: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        denoise, noise = denoise_and_noise(model, sampler, numbers, seed=seed, condition=condition)
        levels = self.levels(model, sampler)
        with torch.no_grad():
            yield from sampler.walk(denoise, levels, levels[0].x(self.rows(numbers, model), noise()), noise)

    def levels(self, model: Trained, sampler: Sampler) -> list[Level]:
        return from_share(sampler.levels(model.diffusion.process), self.strength)

    def rows(self, numbers: Sequence[int], model: Trained) -> Tensor:
        """The image that each number is made of."""
        return self.x_0[torch.tensor(list(numbers)) % len(self.x_0)].to(model.device)

    def beside(self, numbers: Sequence[int]) -> list[Tensor]:
        return [self.x_0[torch.tensor(list(numbers)) % len(self.x_0)]]
