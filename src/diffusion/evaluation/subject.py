"""What is measured: a trained model, and the images it is measured on."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.data.conditions import arguments, available
from diffusion.data.images import Images
from diffusion.inference.image_files import Request, check_finite, draw_batches
from diffusion.inference.labels import numbers_of
from diffusion.inference.prompts import Prompts, prompts_from
from diffusion.inference.trained import Trained
from diffusion.pictures.pixels import from_uint8, to_uint8
from diffusion.runs.files import atomic_write_text
from diffusion.runs.metrics import BETWEEN_SEEDS, aside
from diffusion.runs.naming import shorten, slugify
from diffusion.samplers.sampler import Sampler


class Examples(NamedTuple):
    """Images x_0 (N, C, H, W) in [-1, 1] and their conditions, on the model's device."""

    x_0: Tensor
    condition: dict[str, Tensor]

    @property
    def y(self) -> Tensor:
        """Their classes (N,), of which the model is told."""
        return self.condition["y"]


class Subject(NamedTuple):
    """A model and images that fit it, read `batch_size` at a time; what chance decides depends on `seed`.

    `data` is the configuration of `images`, `title` what people call them; they are `held_out` unless the model learned
    from them. Those that it learned from are `training_images()`, called `training_title`. A
    `fingerprint` tells images that are no part of the set of training from others of the same title.
    """

    model: Trained
    images: Images
    data: dict[str, Any]
    title: str
    held_out: bool
    training_images: Callable[[], Images]
    training_title: str
    batch_size: int
    seed: int
    fingerprint: str = ""

    def examples(self, numbers: Sequence[int]) -> Examples:
        """The images of these numbers; their classes are numbered as the model knows them."""
        pixels, labels = self.images.read(numbers)
        x_0 = from_uint8(pixels.to(self.model.device))
        told = available(self.model.conditions, self.model.classes)
        return Examples(x_0, arguments(told, x_0, self.numbered(labels).to(self.model.device)))

    def prompts(self, count: int) -> Prompts:
        """What to ask the model for, to have `count` images: each class in turn, or the images anew from small ones."""
        conditions, classes = self.model.conditions_to_ask, self.model.classes_to_ask
        return prompts_from(conditions, self.images, count, classes=classes, numbered=self.numbered)

    def numbered(self, labels: Tensor) -> Tensor:
        """Labels of the images, int64 (N,), as the model numbers these classes."""
        if self.images.classes is None or self.model.classes is None:
            return labels
        return torch.tensor(numbers_of(list(self.images.classes), self.model.classes))[labels]

    def draw(self, sampler: Sampler, prompts: Prompts, num_images: int) -> Tensor:
        """The images that all processes draw together, uint8 (num_images, C, H, W) on the CPU; all must call it."""
        mine = [batch.cpu() for batch in self.draw_shard(sampler, prompts, num_images)]
        return torch.cat([batch for batches in distributed.all_gather(mine) for batch in batches])

    def draw_shard(self, sampler: Sampler, prompts: Prompts, num_images: int) -> Iterator[Tensor]:
        """This process's share, uint8 (N, C, H, W), batch by batch; image i depends on the seed and i alone."""
        request = Request(num_images, self.batch_size, self.seed, prompts)
        for batch in draw_batches(request, self.model, sampler):
            check_finite(batch, sampler)
            yield to_uint8(batch)

    def check_comparable(self) -> None:
        """Raise ValueError if the training images have another size or other channels than those that it draws."""
        (channels, height, width), training = self.model.shape, self.training_images().shape
        if training != self.model.shape:
            raise ValueError(
                f"the model draws images of {channels}x{height}x{width}, {self.training_title} has "
                f"{'x'.join(map(str, training))}; restore the images that it learned from"
            )

    def facts(self, sampler: Sampler | None = None) -> dict[str, Any]:
        """What a result was drawn by and measured on, in plain values."""
        drawn_by = {} if sampler is None else {"sampler": {"kind": type(sampler).__name__, **sampler.settings}}
        weights = {"weights": self.model.weights, "step": self.model.step, "precision": self.model.precision}
        weights |= {"guidance": self.model.guidance.name} if self.model.guidance.name else {}
        return {**drawn_by, **weights, "data": self.data, "held_out": self.held_out, "seed": self.seed}

    def folder_name(self, evaluation: "Evaluation") -> str:
        """Says what was measured, so that measuring otherwise does not overwrite it."""
        title, seed = slugify(self.title.replace(" ", "_")), f"seed_{self.seed}" if self.seed else ""
        seeds = f"{evaluation.seeds}_seeds" if evaluation.seeds > 1 else ""
        parts = evaluation.name, title, self.fingerprint, self.model.origin, self.model.guidance.name, seed, seeds
        return shorten("_".join(filter(None, parts)), "_")


class Findings(NamedTuple):
    """What an evaluation found: in one to three lines, and as numbers by their full names."""

    text: str
    numbers: dict[str, float]


NOTHING = Findings("", {})  # the result on all processes but the leader


class Evaluation(ABC):
    """One way to measure a model. One that draws may have `seeds`, with each of which it is to draw anew."""

    seeds: int = 1

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in the folder of its results."""

    @abstractmethod
    def check(self, subject: Subject) -> None:
        """Raise ValueError if it cannot measure the subject."""

    @abstractmethod
    def __call__(self, subject: Subject, folder: Path) -> Findings:
        """Measure, and write the results into `folder`. All processes must call it; the leader returns the findings."""

    def measure(self, subject: Subject, folder: Path) -> Findings:
        """The same, with each of `seeds` seeds from the subject's on: means, and standard deviations between seeds.

        Each seed's own results lie in a folder seed_N beside result.json.
        """
        if self.seeds == 1:
            return self(subject, folder)
        found: dict[int, Findings] = {}
        for seed in range(subject.seed, subject.seed + self.seeds):
            distributed.print_once(f"Seed {seed}, {len(found) + 1} of {self.seeds}")
            own = folder / f"seed_{seed}"
            if distributed.is_leader():
                own.mkdir(parents=True, exist_ok=True)
            found[seed] = self(subject._replace(seed=seed), own)
            distributed.print_once(found[seed].text)
        if not distributed.is_leader():
            return NOTHING
        findings = seed_statistics({seed: each.numbers for seed, each in found.items()})
        results = [json.loads((folder / f"seed_{seed}" / "result.json").read_text()) for seed in found]
        alike = {key: value for key, value in results[0].items() if all(each.get(key) == value for each in results)}
        by_seed = {seed: each.numbers for seed, each in found.items()}
        write_result(folder, {**alike, **findings.numbers, "seeds": list(found), "by_seed": by_seed})
        return findings


def seed_statistics(found: dict[int, dict[str, float]]) -> Findings:
    """The mean of each number over the seeds that found it, and its standard deviation between them."""
    every = list(found.values())
    names = [name for name in every[0] if all(name in numbers for numbers in every)]
    values = {name: torch.tensor([numbers[name] for numbers in every], dtype=torch.float64) for name in names}
    means = {name: each.mean().item() for name, each in values.items()}
    spreads = {name: each.std().item() for name, each in values.items()}
    lines = [f"{name} {means[name]:.4g} ± {spreads[name]:.2g}" for name in names if not aside(name)]
    title = f"mean and standard deviation of the seeds {', '.join(map(str, found))}:"
    return Findings("\n".join([title, *lines]), means | {f"{name}{BETWEEN_SEEDS}": spreads[name] for name in names})


def slug(title: str) -> str:
    """The title as a part of a name: "CIFAR10 train" becomes cifar10_train."""
    return re.sub(r"\W+", "_", title).strip("_").lower()


def evenly_spaced(total: int, wanted: int) -> list[int]:
    """`wanted` of the numbers 0 .. total - 1, evenly spread; all of them if there are fewer."""
    count = min(total, wanted)
    return [i * total // count for i in range(count)]


def write_result(folder: Path, result: dict[str, Any]) -> None:
    atomic_write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
