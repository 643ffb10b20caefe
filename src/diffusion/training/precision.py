"""The number format that the network computes in; weights, losses and the rest stay float32."""

from __future__ import annotations

import torch

DTYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
SMALLEST_SCALE = 2.0**-14


class Precision:
    """float32, bf16, or fp16 with a loss scale that halves when a gradient overflows."""

    def __init__(self, kind: str, device: torch.device) -> None:
        self.kind, self.device = kind, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=kind == "fp16")

    def autocast(self) -> torch.autocast:
        dtype = DTYPES[self.kind]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the network's matrix products."""
        return DTYPES[self.kind] or torch.float32

    @property
    def exhausted(self) -> bool:
        """True once halving the scale has stopped helping."""
        return self.scaler.is_enabled() and self.scaler.get_scale() < SMALLEST_SCALE


def check(kind: str) -> None:
    if kind not in DTYPES:
        raise ValueError(f"train.precision={kind} is none of {', '.join(DTYPES)}")
