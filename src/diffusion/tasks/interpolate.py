"""Images between images."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from diffusion.pictures.grid import grid
from diffusion.process.level import as_factor
from diffusion.process.process import Process
from diffusion.samplers.sampler import Sampler, Step, descent, require_no_noise
from diffusion.tasks.from_images import Images, ReadOnce, place_of
from diffusion.tasks.latents import latents, slerp
from diffusion.tasks.task import Drawing, Task


class Interpolate(Task):
    """`count` images on the way from each given image to the next, both ends included.

    The images are encoded, and what lies between their latents on the sphere is decoded, by a sampler without noise
    (Song et al. 2021, section 5.3). Without `images` the latents are the noises of plain drawing, from that of image
    number 0 to 1, to 2, and so on. Each image is told the class of the nearer end.
    """

    def __init__(self, *, images: Images | None = None, count: int = 8) -> None:
        if count < 2:
            raise ValueError(f"count={count} leaves no room for both ends; set task.count=8")
        self.images, self.count = images, count
        self.given = None if images is None else ReadOnce(images, "task.images")

    def check(self, sampler: Sampler, process: Process, shape: tuple[int, int, int]) -> None:
        require_no_noise(sampler)
        if self.given is not None and len(self.given(shape).x) < 2:
            raise ValueError(
                f"nothing lies between one image and itself, and {place_of(self.given.images)} holds one; "
                "give more, such as 'task.images=[a.png,b.png]'"
            )

    def total(self, asked: int, shape: tuple[int, int, int]) -> int:
        return asked if self.given is None else min(asked, self.count * (len(self.given(shape).x) - 1))

    def labels(self, shape: tuple[int, int, int]) -> tuple[str, list[int] | None] | None:
        return None if self.given is None else (place_of(self.given.images), self.given(shape).labels)

    def place(self, number: int) -> tuple[int, float]:
        """The end at which the way of an image begins, and the share of the way that it lies at."""
        begin, frame = divmod(number, self.count)
        return begin, frame / (self.count - 1)

    def row(self, number: int) -> int:
        begin, share = self.place(number)
        return begin + round(share)

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        begins, shares = zip(*map(self.place, drawing.numbers), strict=True)
        ends = sorted({end for begin in begins for end in (begin, begin + 1)})
        found = dict(zip(ends, self.ends(drawing, ends), strict=True))
        a, b = (torch.stack([found[begin + more] for begin in begins]) for more in (0, 1))
        rows = [self.row(number) for number in drawing.numbers]
        x, noise = slerp(a, b, torch.tensor(shares, dtype=torch.float64)), drawing.noise_of(drawing.numbers)
        return descent(drawing.sampler, drawing.denoise_of(rows), drawing.levels, x, noise)

    def ends(self, drawing: Drawing, numbers: list[int]) -> Tensor:
        """The latents of the ends of these numbers, (M, C, H, W)."""
        if self.given is None:
            x = drawing.noise_of(numbers)()
            return as_factor(drawing.levels[0].std, x) * x
        images = self.given(drawing.shape).x[numbers].to(drawing.device)
        return latents(drawing.sampler, drawing.denoise_of(numbers), drawing.levels, images)

    def picture(self, x: Tensor, labels: Sequence[str]) -> np.ndarray:
        """A row for each way, between the given images where there are some."""
        shares = [f"{self.place(number)[1]:.0%}" for number in range(len(x))]
        told = [", ".join(filter(None, both)) for both in zip(shares, labels, strict=True)]
        rows, words = list(x.cpu().split(self.count)), [told[n : n + self.count] for n in range(0, len(x), self.count)]
        if self.given is not None:
            images = self.given((x.shape[1], x.shape[2], x.shape[3])).x
            rows = [torch.cat([images[n : n + 1], row, images[n + 1 : n + 2]]) for n, row in enumerate(rows)]
            words = [["given", *line, "given"] for line in words]
        return grid(torch.cat(rows), columns=len(rows[0]), labels=[word for line in words for word in line])
