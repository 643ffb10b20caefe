"""What is measured: a trained model, and the images it is measured on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion.agreement import numbers_of
from diffusion.data import Images, from_uint8
from diffusion.trained import Trained


class Examples(NamedTuple):
    """Images x_0 (N, C, H, W) in [-1, 1] and what the network is told of them, on the model's device."""

    x_0: Tensor
    condition: dict[str, Tensor]


class Subject(NamedTuple):
    """A model and images that fit it, read `batch_size` at a time; what chance decides depends on `seed`.

    `data` is the configuration of `images`; they are `held_out` unless the model learned from them. Those that it
    learned from are `training_images()`.
    """

    model: Trained
    images: Images
    data: dict[str, Any]
    held_out: bool
    training_images: Callable[[], Images]
    batch_size: int
    seed: int

    def examples(self, numbers: Sequence[int]) -> Examples:
        """The images of these numbers; their classes are numbered as the model knows them."""
        pixels, labels = self.images.read(numbers)
        if self.images.classes is not None:
            labels = torch.tensor(numbers_of(list(self.images.classes), self.model.classes or []))[labels]
        x_0 = from_uint8(pixels.to(self.model.device))
        return Examples(x_0, self.images.condition(x_0, labels.to(self.model.device)))

    @property
    def title(self) -> str:
        """What people call the images: "digits test", "CIFAR10 train", or the name of their folder."""
        node = self.data.get("images", self.data)
        kind = node["_target_"].rpartition(".")[2].lower()
        name = node.get("dataset") or (Path(node["root"]).name if "root" in node else kind)
        return f"{name} {node['split']}" if "split" in node else name

    def facts(self) -> dict[str, Any]:
        """What a result was measured on, in plain values."""
        weights = {"weights": self.model.weights, "step": self.model.step}
        return {**weights, "data": self.data, "held_out": self.held_out, "seed": self.seed}

    def folder_name(self, evaluation: Evaluation) -> str:
        """Says what was measured, so that measuring otherwise does not overwrite it."""
        parts = [evaluation.name, self.title, self.model.origin, *([f"seed_{self.seed}"] if self.seed else [])]
        return "_".join(parts).replace(" ", "_").replace("/", "-")


class Evaluation(ABC):
    """One way to measure a model."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called where its results lie."""

    @abstractmethod
    def check(self, subject: Subject) -> None:
        """Raise ValueError if the subject cannot be measured so."""

    @abstractmethod
    def __call__(self, subject: Subject, folder: Path) -> str:
        """Measures, and writes what it found into `folder`; the figures in one to three lines."""


def write_result(folder: Path, result: dict[str, Any]) -> None:
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
