"""Inpainting: what is missing of an image is drawn so that it fits what is known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.inference.task import denoise_and_noise
from diffusion.inference.trained import Trained
from diffusion.process.level import Level, Move, as_factor
from diffusion.samplers.sampler import Sampler, Step
from diffusion.tasks.given_images import given_mask
from diffusion.tasks.image_to_image import ImageToImage


class Inpaint(ImageToImage):
    """Draws the parts of `images` where the picture `mask` is black; the white ones are known (Lugmayr et al. 2022).

    After each step the known pixels are those of the image with the noise of that level. After `jump` steps the walk
    goes back over them, adding noise, `resample` - 1 times, so that what is drawn comes to agree with what is known.
    Each step begins anew, so that a sampler that remembers its steps takes them in order 1.
    """

    def __init__(
        self, *, images: str | Sequence[str] | None = None, mask: str | None = None, jump: int = 5, resample: int = 5
    ) -> None:
        if min(jump, resample) < 1:
            raise ValueError(f"jump={jump} and resample={resample} must be at least 1; set task.jump=5 task.resample=5")
        super().__init__(images=images, strength=1.0)
        self.mask, self.jump, self.resample = mask, jump, resample
        self.known = torch.empty(0)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"inpainted_jump_{self.jump}_resample_{self.resample}"

    def open(self, model: Trained, sampler: Sampler) -> None:
        super().open(model, sampler)
        self.known = given_mask(self.mask, model, "task.mask")

    def steps(
        self, model: Trained, sampler: Sampler, numbers: Sequence[int], *, seed: int, condition: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        denoise, noise = denoise_and_noise(model, sampler, numbers, seed=seed, condition=condition)
        levels = there_and_back(sampler.levels(model.diffusion.process), self.jump, self.resample)
        x = noise()
        x = as_factor(levels[0].std, x) * x
        yield from repainted(denoise, sampler, levels, x, noise, self.rows(numbers, model), self.known.to(x))

    def beside(self, numbers: Sequence[int]) -> list[Tensor]:
        (x_0,) = super().beside(numbers)
        return [torch.where(self.known > 0, x_0, 0.0)]


def there_and_back(levels: Sequence[Level], jump: int, resample: int) -> list[Level]:
    """The levels, every `jump` of them walked `resample` times: down, and up again by as many, one level at a time."""
    path, end = [levels[0]], len(levels) - 1
    for first in range(0, end, jump):
        down = levels[first + 1 : min(first + jump, end) + 1]
        up = [*reversed(levels[first : first + len(down)])]
        for _ in range(resample - 1 if first + len(down) < end else 0):
            path += [*down, *up]
        path += down
    return path


@torch.no_grad()
def repainted(
    denoise: Denoise, sampler: Sampler, levels: Sequence[Level], x: Tensor, noise: Callable[[], Tensor], x_0: Tensor,
    known: Tensor,
) -> Iterator[Step]:  # fmt: skip
    """Every step along levels that fall and rise: down by the sampler, up by q(x_t | x_s).

    Where `known` (1, 1, H, W) is 1, x is the image x_0 with the noise of its level; where it is 0, what is drawn.
    """
    for here, there in pairwise(levels):
        if bool(there.log_snr < here.log_snr):
            up = Move(there, here)
            x = as_factor(there.alpha / here.alpha, x) * x + as_factor(up.upper.sqrt(), x) * noise()
            continue
        *_, step = sampler.walk(denoise, [here, there], x, noise)
        x = known * there.x(x_0, noise()) + (1 - known) * step.x
        yield Step(x, known * x_0 + (1 - known) * step.x_0)
