"""The variational bound of images under a model, as if it had infinitely many steps, in bits/dim."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.compute.progress import Progress
from diffusion.compute.randomness import generator, normal, uniform
from diffusion.denoiser.denoiser import clip
from diffusion.denoiser.guided_denoisers import bind
from diffusion.evaluation.standard_error import estimate, measured_numbers, require_error, require_unguided
from diffusion.evaluation.subject import NOTHING, Evaluation, Findings, Subject, write_result
from diffusion.inference.titles import model_title
from diffusion.losses.continuous_bound import ContinuousBound, continuous_bound
from diffusion.pictures.plots import plot_errors
from diffusion.runs.files import atomic_write


class ContinuousLikelihood(Evaluation):
    """The continuous bound of `num_images` images in bits/dim, of any process: its mean, and the standard error over
    images, each of which is seen at `levels` levels.

    The images are spread evenly over the set; None takes all. `clip` keeps every expected x_0 in [-1, 1].

    Writes result.json, errors.png, the integrand over the log-SNR, and terms.npz: the tables of `ContinuousBound`.
    """

    def __init__(self, *, num_images: int | None = None, levels: int = 64, clip: bool = True) -> None:
        if levels < 1:
            raise ValueError(f"levels={levels} must be at least 1; set evaluation.levels=64")
        self.num_images, self.levels, self.clip = require_error(num_images), levels, clip

    @property
    def name(self) -> str:
        parts = ["continuous_likelihood", f"{self.levels}_levels"]
        parts += [f"{self.num_images}_images"] if self.num_images is not None else []
        return "_".join([*parts, *([] if self.clip else ["unclipped"])])

    def check(self, subject: Subject) -> None:
        measured_numbers(subject, self.num_images)
        require_unguided(subject)

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        numbers = measured_numbers(subject, self.num_images)
        mine = list(self.bounds(subject, distributed.shard(numbers)))
        found = [bound for share in distributed.all_gather(mine) for bound in share]
        if not distributed.is_leader():
            return NOTHING
        whole = ContinuousBound(*map(torch.cat, zip(*found, strict=True)))
        (mean, error), (prior, _), (decoder, _) = map(estimate, (whole.total, whole.prior, whole.decoder))
        figure = f"{mean:.3f} +- {error:.3f} bits/dim"
        with atomic_write(folder / "terms.npz") as path:
            np.savez(path, **{k: v.numpy() for k, v in whole._asdict().items()}, images=np.array(numbers))
        title = f"{model_title(subject.model)}\n{subject.title}: {figure}"
        with atomic_write(folder / "errors.png") as path:
            plot_errors(path, whole.log_snr, whole.errors, title=title)
        figures = {"continuous_bits_per_dim": mean, "standard_error": error, "prior": prior, "decoder": decoder}
        choices = {"bound": "continuous", "num_images": len(numbers), "levels": self.levels, "clip": self.clip}
        write_result(folder, {**figures, **choices, **subject.facts()})
        text = (
            f"{figure}, the continuous bound (prior {prior:.3f}, decoder {decoder:.3f}, {len(numbers)} images of "
            f"{subject.title}{'' if subject.held_out else ', seen in training'}, {subject.model.origin})"
        )
        return Findings(text, {"continuous_bits_per_dim": mean, "continuous_bits_per_dim_standard_error": error})

    def bounds(self, subject: Subject, numbers: Sequence[int]) -> Iterator[ContinuousBound]:
        """The bound of each batch; what chance decides of an image depends on the seed and its number alone."""
        with Progress("Measuring the continuous bound", len(numbers) * self.levels) as progress:
            for first in range(0, len(numbers), subject.batch_size):
                chosen = numbers[first : first + subject.batch_size]
                x_0, condition = subject.examples(chosen)
                denoise = bind(subject.model.denoiser, condition, clip if self.clip else None)
                start = uniform(generator(subject.seed, "levels", n) for n in chosen)

                def noise(k: int, chosen: Sequence[int] = chosen, x_0: Tensor = x_0) -> Tensor:
                    chances = [generator(subject.seed, "bound", n, k, device=x_0.device) for n in chosen]
                    return normal(chances, tuple(x_0.shape[1:]))

                found = continuous_bound(
                    subject.model.diffusion.process, denoise, x_0, noise, start, levels=self.levels,
                    after=partial(progress.advance, len(chosen)),
                )  # fmt: skip
                yield ContinuousBound(*(table.cpu() for table in found))
