"""Moving tensors to a device."""

from __future__ import annotations

import torch
from torch import Tensor


def at_once(values: Tensor, device: torch.device) -> Tensor:
    """`values` on `device`, without waiting for what a GPU still has to do."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
