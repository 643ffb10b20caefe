"""The number format that a network is trained in, and what fp16 needs beside it."""

from __future__ import annotations

import torch

from diffusion.compute.precision import autocast

SMALLEST_SCALE = 2.0**-14


class Precision:
    """float32, tf32, bf16, or fp16 with a loss scale that halves when a gradient overflows."""

    def __init__(self, kind: str, device: torch.device) -> None:
        self.kind, self.device = kind, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=kind == "fp16")

    def computing(self) -> torch.autocast:
        """A context for the network's forward."""
        return autocast(self.kind, self.device)

    @property
    def exhausted(self) -> bool:
        """True once halving the scale has stopped helping."""
        return self.scaler.is_enabled() and self.scaler.get_scale() < SMALLEST_SCALE
