"""How probable images are by the probability flow of a model, in bits/dim."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.compute.progress import Progress
from diffusion.compute.randomness import generator
from diffusion.evaluation.standard_error import estimate, measured_numbers, require_error, require_unguided
from diffusion.evaluation.subject import NOTHING, Evaluation, Findings, Subject, write_result
from diffusion.losses.continuous_bound import ends
from diffusion.losses.density import (
    log_density,
    truncated_noise,
    truncated_normal,
    truncation,
    uniform_noise,
)
from diffusion.process.level import Level
from diffusion.runs.files import atomic_write

HALF_LEVEL = 1 / 255  # half the distance of two values of a pixel
DEQUANTISATIONS = ("truncated_normal", "uniform")


class Density(Evaluation):
    """-log p(x_0) of `num_images` images in bits/dim, from above: its mean, and the standard error over images.

    It is the flow's density of the images with noise that hides their 256 levels, over that of the noise.

    `dequantisation` is "truncated_normal", the noise of the cleanest level within a value's width, or "uniform". Of
    `draws` of it, each with its own `probes` for the trace of the Jacobian, the mean probability counts: more of them
    bring the bound closer. The flow is solved to `tolerance`, or in `steps` even steps of order 4. Nothing is clipped,
    and so it is the density of another model than the bounds are of, unless these have `clip=False`.

    Writes result.json, and bits.npz: `bits_per_dim` (N,) of the `images` (N,), by their numbers in the set.
    """

    def __init__(
        self, *, num_images: int | None = None, draws: int = 1, probes: int = 1,
        dequantisation: str = "truncated_normal", tolerance: float = 1e-3, steps: int | None = None,
    ) -> None:  # fmt: skip
        if dequantisation not in DEQUANTISATIONS:
            known = " or ".join(f"evaluation.dequantisation={name}" for name in DEQUANTISATIONS)
            raise ValueError(f"dequantisation={dequantisation} is unknown; set {known}")
        for name, value in {"draws": draws, "probes": probes, "steps": 1 if steps is None else steps}.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1; set evaluation.{name}=1")
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance={tolerance} must lie between 0 and 1; set evaluation.tolerance=1e-3")
        self.num_images, self.draws, self.probes = require_error(num_images), draws, probes
        self.dequantisation, self.tolerance, self.steps = dequantisation, tolerance, steps

    @property
    def name(self) -> str:
        parts = ["density", self.dequantisation, f"{self.draws}_draws", f"{self.probes}_probes"]
        parts += [f"tolerance_{self.tolerance:g}" if self.steps is None else f"{self.steps}_steps"]
        return "_".join([*parts, *([f"{self.num_images}_images"] if self.num_images is not None else [])])

    def check(self, subject: Subject) -> None:
        measured_numbers(subject, self.num_images)
        if subject.model.diffusion.loss.classifies:
            raise ValueError("a classifier has no density of images; give a model that draws")
        require_unguided(subject)
        if getattr(subject.model.network, "compile_once", False):
            raise ValueError("a compiled network has no gradient, which the density takes; set compile=false")

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        numbers = measured_numbers(subject, self.num_images)
        mine = distributed.shard(numbers)
        batches = [mine[first : first + subject.batch_size] for first in range(0, len(mine), subject.batch_size)]
        with Progress("Measuring the density", len(mine) * self.draws) as progress:
            found = [self.bits(subject, batch, progress.advance) for batch in batches]
        every = [bits for share in distributed.all_gather(found) for bits in share]
        if not distributed.is_leader():
            return NOTHING
        bits = torch.cat(every)
        mean, error = estimate(bits)
        with atomic_write(folder / "bits.npz") as path:
            np.savez(path, bits_per_dim=bits.numpy(), images=np.array(numbers))
        kind = f"{self.dequantisation.replace('_', ' ')} dequantisation, {self.draws} draw{'s' * (self.draws > 1)}"
        choices: dict[str, Any] = {"num_images": len(numbers), "draws": self.draws, "probes": self.probes}
        choices |= {"bound": f"density of the flow, {kind}", "tolerance": self.tolerance, "steps": self.steps}
        figures = {"density_bits_per_dim": mean, "density_bits_per_dim_standard_error": error}
        write_result(folder, {**figures, **choices, **subject.facts()})
        text = (
            f"{mean:.3f} +- {error:.3f} bits/dim, by the density of the flow ({kind}; {len(numbers)} images of "
            f"{subject.title}{'' if subject.held_out else ', seen in training'}, {subject.model.origin})"
        )
        return Findings(text, figures)

    def bits(self, subject: Subject, numbers: Sequence[int], after: Callable[[float], object] = float) -> Tensor:
        """bits/dim of the images of these numbers, (N,) float64; `after(images)` follows each step, a part of them."""
        x_0, condition = subject.examples(numbers)
        process, denoise = subject.model.diffusion.process, subject.model.denoiser.given(condition)
        clean, noisy = ends(process)
        weights = []
        for draw in range(self.draws):
            chances = [generator(subject.seed, "density", n, draw, device=x_0.device) for n in numbers]
            z, log_q = self.dequantised(x_0, chances, clean)
            signs = [self.signs(x_0[0], chance) for chance in chances]
            log_p = log_density(
                process, denoise, z, torch.stack(signs, 1), clean=clean, noisy=noisy, tolerance=self.tolerance,
                steps=self.steps, after=lambda share: after(share * len(numbers)),
            )  # fmt: skip
            weights.append((log_p - log_q).double().cpu())
        nats = torch.stack(weights).logsumexp(0) - math.log(self.draws)
        return -nats / (x_0[0].numel() * math.log(2))

    def dequantised(self, x_0: Tensor, chances: Sequence[torch.Generator], clean: Level) -> tuple[Tensor, Tensor]:
        shares = torch.stack([torch.rand(x_0.shape[1:], generator=chance, device=x_0.device) for chance in chances])
        if self.dequantisation == "uniform":
            return uniform_noise(x_0, shares, clean, HALF_LEVEL)
        limit = truncation(clean, HALF_LEVEL)
        return truncated_normal(x_0, truncated_noise(shares.clamp(1e-7, 1 - 1e-7), limit), clean, limit)

    def signs(self, like: Tensor, chance: torch.Generator) -> Tensor:
        """The probes of one image, (K, C, ...), each of random signs."""
        return torch.randint(2, (self.probes, *like.shape), generator=chance, device=like.device).to(like) * 2 - 1
