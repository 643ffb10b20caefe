"""A trained model in Python: what `diffusion.load` and `diffusion.train` return."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffusion.compute.randomness import generator, normal, uniform
from diffusion.data.conditions import arguments, available
from diffusion.denoiser.denoiser import clip, transformed
from diffusion.denoiser.guidance import Guidance
from diffusion.inference.draw import task_steps
from diffusion.inference.labels import Labels, chosen_labels
from diffusion.inference.prompts import Prompts, by_label, rows_in_turn
from diffusion.inference.task_input import check_task, task_labels
from diffusion.inference.trained import Trained
from diffusion.losses.bound import bound
from diffusion.losses.continuous_bound import continuous_bound
from diffusion.pictures.pixels import from_uint8
from diffusion.process.respacing import kept_steps
from diffusion.samplers.dpm_solver import DPMSolver
from diffusion.samplers.sampler import Sampler, Step, draw
from diffusion.samplers.spacing import EvenSpacing
from diffusion.tasks.draw import Draw
from diffusion.tasks.task import Task


class Model(Trained):
    """A trained model that draws, and says how likely it finds images; see `Trained` for its parts."""

    def draw(self, count: int, *, batch_size: int = 64, **asked: Any) -> Tensor:
        """The images number 0 .. count - 1 of a seed, (count, C, H, W) near [-1, 1], whatever the batch size.

        `asked` is what `watch` takes.
        """
        parts = torch.arange(count).split(batch_size)
        return torch.cat([draw(self.watch(part.tolist(), **asked)) for part in parts])

    def watch(
        self, numbers: Iterable[int], *, labels: Labels = None, sampler: Sampler | None = None,
        guidance: Guidance | None = None, seed: int = 0, task: Task | None = None, **told: Tensor,
    ) -> Iterator[Step]:  # fmt: skip
        """Every step of drawing the images of these numbers, from noise on: x and the x_0 that was expected in it.

        `labels` are classes by name or number, in turn, and all of them by default; `told` gives the network's other
        arguments, (M, ...) in turn, such as low_res (M, C, h, w). The sampler is DPM-Solver++ with noise in 20 steps by
        default. A `task` such as `Inpaint` draws from images, whose classes are then to be named.
        """
        if guidance is not None and not isinstance(guidance, Guidance):
            raise ValueError(f"guidance={guidance!r} is none; give one such as diffusion.Guidance(classifier=...)")
        model = self._replace(guidance=guidance or self.guidance)
        task, sampler = task or Draw(), sampler or self.usual_sampler
        check_task(model, task, sampler)
        classes = by_label(task_labels(model, task, labels))
        rows = {**rows_in_turn(self.conditions, self.classes), **classes, **told}
        if missing := [name for name in self.denoiser.takes if name not in rows and name != "y"]:
            raise ValueError(f"the network needs {missing[0]}; give it as another argument: {missing[0]}=tensor")
        model.guidance.check(model)  # type: ignore[arg-type]
        condition = partial(Prompts(rows).condition, device=self.device)
        return task_steps(model, sampler, task, list(numbers), seed=seed, told=condition)

    @property
    def usual_sampler(self) -> Sampler:
        """What draws where no sampler is named, on whole steps alone where the network knows no others."""
        spacing = EvenSpacing() if getattr(self.denoiser.network, "whole_times", False) else None
        return DPMSolver(steps=min(20, self.diffusion.process.bins), eta=1.0, spacing=spacing)

    def bits_per_dim(
        self, images: Tensor, *, labels: Labels = None, steps: int | str | None = None, seed: int = 0
    ) -> Tensor:
        """The variational bound of images (N, C, H, W), uint8 or in [-1, 1], in bits/dim (N,).

        A class-conditional model needs the label of each image. `steps` keeps some steps of the process; of a process
        without steps it is the continuous bound, at 64 levels an image.
        """
        x_0 = (from_uint8(images) if images.dtype == torch.uint8 else images).to(self.device)
        if tuple(x_0.shape[1:]) != self.shape:
            raise ValueError(f"the model draws images of {self.shape}, these are {tuple(x_0.shape[1:])}")
        if self.classes is not None and labels is None:
            raise ValueError("the model is class-conditional; give the class of each image: labels=[...]")
        numbers = chosen_labels(labels, self.classes) or [0] * len(x_0)
        if len(numbers) != len(x_0):
            raise ValueError(f"{len(x_0)} images have {len(numbers)} labels; give the class of each image")
        y = torch.tensor(numbers, device=self.device)
        condition = arguments(available(self.conditions, self.classes), x_0, y)
        process, denoise = self.diffusion.process, transformed(self.denoiser.given(condition), clip)

        def noise(t: int) -> Tensor:
            return normal([generator(seed, "bound", n, t, device=self.device) for n in range(len(x_0))], self.shape)

        if process.length is not None:
            return bound(process.respace(kept_steps(process.length, steps)), denoise, x_0, noise).total
        if steps is not None:
            raise ValueError(f"steps={steps} keeps some steps of a chain, and the process has none; leave it out")
        start = uniform(generator(seed, "levels", n) for n in range(len(x_0)))
        return continuous_bound(process, denoise, x_0, noise, start).total
