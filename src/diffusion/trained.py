"""A trained model, as its checkpoint describes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion.gaussian import GaussianDiffusion


class Trained(NamedTuple):
    """A network in evaluation mode on `device`, its diffusion, and what it was trained on.

    `shape` is (C, H, W), `weights` says which weights these are ("ema_0.9999", "raw"), `step` how long they learned.
    """

    network: Callable[..., Tensor]
    diffusion: GaussianDiffusion
    shape: tuple[int, int, int]
    classes: list[str] | None
    config: dict[str, Any]
    step: int
    weights: str
    device: torch.device
