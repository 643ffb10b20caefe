"""A trained model, as its checkpoint describes it."""

from typing import Any, NamedTuple

import torch

from diffusion.data.conditions import BY_LABEL, Conditions, blanks
from diffusion.denoiser.denoiser import Denoiser, conditions_of
from diffusion.denoiser.diffusion import Diffusion
from diffusion.denoiser.guidance import Guidance


class Trained(NamedTuple):
    """A network in evaluation mode on `device`, its diffusion, and what it was trained on.

    `shape` is (C, H, W), `weights` says which weights these are ("ema_0.9999", "raw"), `step` how long they learned,
    None if their file does not tell. `guidance` steers what is drawn; `precision` is the number format that the network
    computes in; `name` tells one model from another. `conditions` are what the network is told beside the time.
    """

    network: torch.nn.Module
    diffusion: Diffusion
    shape: tuple[int, int, int]
    classes: list[str] | None
    config: dict[str, Any]
    step: int | None
    weights: str
    device: torch.device
    guidance: Guidance = Guidance()
    precision: str = "float32"
    name: str = "model"
    conditions: Conditions = BY_LABEL

    @property
    def denoiser(self) -> Denoiser:
        """The only caller of the network."""
        takes = conditions_of(self.network)
        dropped = (self.config.get("train") or {}).get("label_dropout", 0)
        heard = blanks(self.conditions, self.classes) if dropped else {}
        return self.diffusion.denoiser(self.network, takes, {name: heard[name] for name in heard if name in takes})

    @property
    def origin(self) -> str:
        """Which weights these are and in what they compute, as a part of a file's name."""
        precision = "" if self.precision == "float32" else f"_{self.precision}"
        return self.weights + precision + ("" if self.step is None else f"_step_{self.step}")

    @property
    def classes_to_ask(self) -> list[str] | None:
        """The classes that one can ask for: the network's own, or else those that a guide leads to."""
        if self.classes is None:
            return next((list(guide.classes) for guide in self.guidance.guides if guide.classes is not None), None)
        return self.classes

    @property
    def conditions_to_ask(self) -> Conditions:
        """What one can ask for: what the network is told, and the classes that a guide leads to."""
        guided = self.classes is None and self.classes_to_ask is not None
        return {**self.conditions, **BY_LABEL} if guided else self.conditions
