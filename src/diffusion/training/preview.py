"""Pictures of what the network draws while it learns."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion.compute.progress import Progress
from diffusion.inference.draw import draw_steps
from diffusion.inference.prompts import Prompts
from diffusion.inference.titles import drawn_by, model_title, picture_title
from diffusion.inference.trained import Trained
from diffusion.losses.schedule_samplers import ScheduleSampler
from diffusion.pictures.grid import grid
from diffusion.pictures.lettering import titled
from diffusion.pictures.plots import plot_weights
from diffusion.samplers.sampler import Sampler, Step, draw
from diffusion.training.ema import WithWeights

MOST = 1000  # images, all of which are drawn at once
IMAGES, MOMENTS = 4, 10  # of a strip
STRIP = "x_t from noise to image, below it the predicted x_0"


def picture_path(folder: Path, step: int, name: str) -> Path:
    """Where the run in `folder` keeps the picture `name` of a step."""
    return folder / "samples" / f"step_{step:08d}_{name}.png"


class Preview:
    """Draws the same `images` images, from the same noise, every `every` steps and at the end (0: never)."""

    def __init__(self, *, every: int = 10_000, images: int = 64, seed: int = 0) -> None:
        if images > MOST:
            raise ValueError(f"train.preview.images={images} are drawn at once; set {MOST} or less")
        self.every, self.images, self.seed = every, images, seed

    def due(self, step: int, last: bool) -> bool:
        return self.every > 0 and step > 0 and (step % self.every == 0 or last)

    def drawn(self, folder: Path, step: int) -> bool:
        """True if the preview of `step` was drawn to its end, which is a strip, in the run's folder."""
        return any(folder.glob(f"samples/step_{step:08d}_strip_*.png"))

    def pictures(
        self,
        model: Trained,
        weights: dict[str, dict[str, Tensor]],
        sampler: Sampler,
        prompts: Prompts,
        schedule_sampler: ScheduleSampler | None = None,
    ) -> Iterator[tuple[str, np.ndarray]]:
        """(name, picture): what `prompts` ask for, drawn with each of the named `weights`, uint8 (H, W, C).

        Also a strip that shows how the first images of the last of them come out of the noise, and the probabilities
        of a schedule sampler unless they are all the same.
        """
        numbers = range(self.images)
        condition = prompts.condition(numbers, model.device)
        model.network.eval()
        num_steps = len(sampler.levels(model.diffusion.process)) - 1
        with Progress(f"Drawing the preview of step {model.step}", len(weights) * num_steps) as progress:
            for name, chosen in weights.items():
                with_chosen = model._replace(network=WithWeights(model.network, chosen))
                steps = draw_steps(with_chosen, sampler, numbers, seed=self.seed, condition=condition)
                title = picture_title(model._replace(weights=name), sampler, seed=self.seed)
                strip = Strip(num_steps)
                yield name, titled(prompts.picture(draw(strip.watch(progress.watch(steps)))), title)
                if name == [*weights][-1]:
                    yield f"strip_{name}", titled(strip.picture(prompts.labels(numbers)), f"{title}\n{STRIP}")
        p = None if schedule_sampler is None else schedule_sampler.probabilities(model.diffusion.process)
        if p is not None:
            yield "schedule_sampler", plot_weights(p.tolist(), title=model_title(model))


def caption(step: int, name: str, sampler: Sampler) -> str:
    """What W&B shows below a picture: the step, the weights, the sampler."""
    if name == "schedule_sampler":
        return f"step {step}, how often each t is drawn"
    weights = name.removeprefix("strip_")
    return f"step {step}, {weights}, {drawn_by(sampler)}{'' if weights == name else f'; {STRIP}'}"


class Strip:
    """Watches the steps of a sampler, `total` in number, and keeps those at up to 10 moments from noise to image."""

    def __init__(self, total: int) -> None:
        count = min(MOMENTS, total)
        self.moments = {round(i * (total - 1) / max(count - 1, 1)) for i in range(count)}
        self.steps: list[Step] = []

    def watch(self, steps: Iterator[Step]) -> Iterator[Step]:
        for number, step in enumerate(steps):
            if number in self.moments:
                self.steps.append(Step(*(images[:IMAGES].cpu() for images in step)))
            yield step

    def picture(self, labels: Sequence[str] = ("",) * IMAGES) -> np.ndarray:
        """Two rows an image, x_t and below it the expected x_0, from noise to image: uint8 (height, width, C).

        `labels` say what the images are asked to be.
        """
        moments = [torch.stack(step, dim=1) for step in self.steps]
        tiles = torch.stack(moments, dim=2).flatten(0, 2)
        heads = [f"step {moment + 1}" for moment in sorted(self.moments)[: len(moments)]]
        told = [f"x_t, {label}" if label else "x_t" for label in labels[: len(moments[0])]]
        rows = [text for each in told for text in (each, "predicted x_0")]
        return grid(tiles, columns=len(moments), labels=heads * len(rows), rows=rows)
