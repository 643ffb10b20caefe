"""The variational bound of images under a model, in bits/dim."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.compute.progress import Progress
from diffusion.compute.randomness import generator, normal
from diffusion.denoiser.denoiser import clip
from diffusion.denoiser.guided_denoisers import bind
from diffusion.evaluation.continuous_likelihood import ContinuousLikelihood
from diffusion.evaluation.standard_error import estimate, measured_numbers, require_error, require_unguided
from diffusion.evaluation.subject import NOTHING, Evaluation, Findings, Subject, write_result
from diffusion.inference.titles import model_title
from diffusion.losses.bound import Bound, bound
from diffusion.pictures.plots import plot_terms
from diffusion.process.process import Process
from diffusion.process.respacing import kept_steps
from diffusion.runs.files import atomic_write
from diffusion.runs.naming import slugify


class Likelihood(Evaluation):
    """The bound of `num_images` images in bits/dim: their mean, and its standard error over images.

    The images are spread evenly over the set; None takes all. `steps` keeps some steps of the process (see
    `kept_steps`) and gives the bound of that shorter process. `clip` keeps every predicted x_0 in [-1, 1].

    Of a process without steps it is the continuous bound, `continuous_bits_per_dim` (see `ContinuousLikelihood`).

    Writes result.json, terms.png, and terms.npz: the tables of `Bound`, `images` (N,), the images' numbers in the set,
    and `t` (T,), the step in training of each column, which is T - 1 in column 0.
    """

    def __init__(self, *, num_images: int | None = None, steps: int | str | None = None, clip: bool = True) -> None:
        self.num_images, self.steps, self.clip = require_error(num_images), steps, clip

    @property
    def name(self) -> str:
        parts = ["likelihood"]
        parts += [f"{slugify(self.steps)}_steps"] if self.steps is not None else []
        parts += [f"{self.num_images}_images"] if self.num_images is not None else []
        return "_".join([*parts, *([] if self.clip else ["unclipped"])])

    def check(self, subject: Subject) -> None:
        measured_numbers(subject, self.num_images)
        require_unguided(subject)
        if subject.model.diffusion.process.length is not None:
            self.measured_steps(subject.model.diffusion.process)
        elif self.steps is not None:
            raise ValueError(
                f"evaluation.steps={self.steps} cuts a chain, and the process has no steps; leave it out, or set "
                "evaluation=continuous_likelihood evaluation.levels=64"
            )

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        numbers, process = measured_numbers(subject, self.num_images), subject.model.diffusion.process
        if process.length is None:
            return ContinuousLikelihood(num_images=self.num_images, clip=self.clip)(subject, folder)
        kept = self.measured_steps(process)
        mine = list(self.bounds(subject, process.respace(kept), distributed.shard(numbers)))
        bounds = [bound for share in distributed.all_gather(mine) for bound in share]
        if not distributed.is_leader():
            return NOTHING
        whole = Bound(*map(torch.cat, zip(*bounds, strict=True)))
        (mean, error), (prior, prior_error) = estimate(whole.total), estimate(whole.prior)
        figure = f"{mean:.3f} +- {error:.3f} bits/dim"
        tables = {name: table.numpy() for name, table in whole._asdict().items()}
        with atomic_write(folder / "terms.npz") as path:
            np.savez(path, **tables, images=np.array(numbers), t=np.array(kept[::-1]))
        means = whole.vb.double().mean(0).tolist()
        title = f"{model_title(subject.model)}\n{subject.title}: {figure}"
        with atomic_write(folder / "terms.png") as path:
            plot_terms(path, kept[::-1], means, title=title)
        figures = {"bits_per_dim": mean, "standard_error": error, "prior": prior, "prior_standard_error": prior_error}
        choices = {"bound": "chain", "num_images": len(numbers), "steps": len(kept), "clip": self.clip}
        write_result(folder, {**figures, **choices, **subject.facts()})
        text = (
            f"{figure}, the bound of {len(kept)} steps (prior {prior:.3f}, {len(numbers)} images of {subject.title}"
            f"{'' if subject.held_out else ', seen in training'}, {subject.model.origin})"
        )
        return Findings(text, {"bits_per_dim": mean, "bits_per_dim_standard_error": error})

    def measured_steps(self, process: Process) -> list[int]:
        """The steps of the process to measure; ValueError if that makes no process."""
        try:
            kept = kept_steps(process.bins, self.steps)
            process.respace(kept)
            if len(kept) < 2:
                raise ValueError(f"a process needs at least 2 steps, got {len(kept)}; ask for more (sampler.steps)")
            return kept
        except ValueError as error:
            raise ValueError(str(error).replace("sampler.", "evaluation.")) from None

    def bounds(self, subject: Subject, process: Process, numbers: Sequence[int]) -> Iterator[Bound]:
        """The bound of each batch; the noise of an image depends on the seed, its number and t alone."""
        running = 0.0
        with Progress("Measuring the bound", len(numbers) * process.bins) as progress:
            for first in range(0, len(numbers), subject.batch_size):
                chosen = numbers[first : first + subject.batch_size]
                x_0, condition = subject.examples(chosen)
                noise = noise_of(chosen, x_0, seed=subject.seed)
                denoise = bind(subject.model.denoiser, condition, clip if self.clip else None)
                tables = bound(process, denoise, x_0, noise, after=partial(progress.advance, len(chosen)))
                yield (found := Bound(*(table.cpu() for table in tables)))
                running, done = running + found.total.double().sum().item(), first + len(chosen)
                progress.note = f"{running / done:.3f} bits/dim so far"


def noise_of(numbers: Sequence[int], like: Tensor, *, seed: int) -> Callable[[int], Tensor]:
    """t -> the eps of the images of these numbers at t, shaped as `like` (N, C, H, W)."""
    return lambda t: normal([generator(seed, "bound", n, t, device=like.device) for n in numbers], like.shape[1:])
