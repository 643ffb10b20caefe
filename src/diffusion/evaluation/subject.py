"""What is measured: a trained model, and the images it is measured on."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion.config.preflight import numbers_of
from diffusion.data.images import Images
from diffusion.data.prompts import Prompts
from diffusion.inference.trained import Trained
from diffusion.pictures.pixels import from_uint8
from diffusion.runs.files import atomic_write_text


class Examples(NamedTuple):
    """Images x_0 (N, C, H, W) in [-1, 1] and their conditions, on the model's device."""

    x_0: Tensor
    condition: dict[str, Tensor]


class Subject(NamedTuple):
    """A model and images that fit it, read `batch_size` at a time; what chance decides depends on `seed`.

    `data` is the configuration of `images`; they are `held_out` unless the model learned from them. Those that it
    learned from are `training_images()`, with whatever labels they have, and `training_data` their configuration.
    """

    model: Trained
    images: Images
    data: dict[str, Any]
    held_out: bool
    training_images: Callable[[], Images]
    training_data: dict[str, Any]
    batch_size: int
    seed: int

    def examples(self, numbers: Sequence[int]) -> Examples:
        """The images of these numbers; their classes are numbered as the model knows them."""
        pixels, labels = self.images.read(numbers)
        if self.images.classes is not None:
            labels = torch.tensor(numbers_of(list(self.images.classes), self.model.classes or []))[labels]
        x_0 = from_uint8(pixels.to(self.model.device))
        return Examples(x_0, self.images.condition(x_0, labels.to(self.model.device)))

    def prompts(self, count: int) -> Prompts:
        """What to ask the model for, to have `count` images: each class in turn, or the images anew from small ones."""
        classes = self.model.classes
        prompts = self.images.prompts(count)
        if self.model.low_res_size is None:
            return Prompts(None if classes is None else list(range(len(classes))))
        if classes is None or prompts.labels is None:
            return prompts._replace(labels=None)
        known = numbers_of(list(self.images.classes or ()), classes)
        return prompts._replace(labels=[known[label] for label in prompts.labels])

    @property
    def title(self) -> str:
        return title_of(self.data)

    @property
    def training_title(self) -> str:
        return title_of(self.training_data)

    @property
    def training_slug(self) -> str:
        return slug(self.training_title)

    def facts(self) -> dict[str, Any]:
        """What a result was measured on, in plain values."""
        weights = {"weights": self.model.weights, "step": self.model.step, "precision": self.model.precision}
        return {**weights, "data": self.data, "held_out": self.held_out, "seed": self.seed}

    def folder_name(self, evaluation: Evaluation) -> str:
        """Says what was measured, so that measuring otherwise does not overwrite it."""
        parts = [evaluation.name, self.title, self.model.origin, *([f"seed_{self.seed}"] if self.seed else [])]
        return "_".join(parts).replace(" ", "_").replace("/", "-")


class Findings(NamedTuple):
    """What an evaluation found: in one to three lines, and as numbers by their full names."""

    text: str
    numbers: dict[str, float]


NOTHING = Findings("", {})  # the result on all processes but the leader


class Evaluation(ABC):
    """One way to measure a model."""

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


def title_of(data: dict[str, Any]) -> str:
    """What people call the images: "digits test", "CIFAR10 train", or the name of their folder."""
    node = data.get("images", data)
    kind = node["_target_"].rpartition(".")[2].lower()
    name = node.get("dataset") or (Path(node["root"]).name if "root" in node else kind)
    return f"{name} {node['split']}" if "split" in node else name


def slug(title: str) -> str:
    """The title as a part of a name: "CIFAR10 train" becomes cifar10_train."""
    return re.sub(r"\W+", "_", title).strip("_").lower()


def evenly_spaced(total: int, wanted: int) -> list[int]:
    """`wanted` of the numbers 0 .. total - 1, evenly spread; all of them if there are fewer."""
    count = min(total, wanted)
    return [i * total // count for i in range(count)]


def write_result(folder: Path, result: dict[str, Any]) -> None:
    atomic_write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")


def check_same_shape(subject: Subject) -> None:
    """Raise ValueError if images to compare drawn ones with have another size or other channels."""
    (channels, height, width), training = subject.model.shape, subject.training_images().shape
    if training != subject.model.shape:
        raise ValueError(
            f"the model draws images of {channels}x{height}x{width}, {subject.training_title} has "
            f"{'x'.join(map(str, training))}; restore the images that it learned from"
        )
