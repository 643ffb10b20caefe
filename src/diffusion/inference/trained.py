"""A trained model, as its checkpoint describes it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from diffusion.data.conditions import BY_LABEL, Conditions
from diffusion.denoiser.classifier_guidance import ClassifierGuidance
from diffusion.denoiser.gaussian import GaussianDiffusion


class Trained(NamedTuple):
    """A network in evaluation mode on `device`, its diffusion, and what it was trained on.

    `shape` is (C, H, W), `weights` says which weights these are ("ema_0.9999", "raw"), `step` how long they learned,
    None if their file does not tell. `guide`, if there is one, steers what is drawn; `precision` is the number format
    that the network computes in. `conditions` are what the network is told beside the time.
    """

    network: torch.nn.Module
    diffusion: GaussianDiffusion
    shape: tuple[int, int, int]
    classes: list[str] | None
    config: dict[str, Any]
    step: int | None
    weights: str
    device: torch.device
    guide: ClassifierGuidance | None = None
    precision: str = "float32"
    conditions: Conditions = BY_LABEL

    @property
    def origin(self) -> str:
        """Which weights these are and in what they compute, as a part of a file's name."""
        precision = "" if self.precision == "float32" else f"_{self.precision}"
        return self.weights + precision + ("" if self.step is None else f"_step_{self.step}")

    @property
    def classes_to_ask(self) -> list[str] | None:
        """The classes that one can ask for: the network's own, or else those that the guide leads to."""
        return list(self.guide.classes) if self.classes is None and self.guide is not None else self.classes
