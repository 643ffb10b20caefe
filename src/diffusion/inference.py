"""A trained network made ready to be called many times with the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffusion.compiled import compiled

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


class Ready(nn.Module):
    """(x_t, time, **condition) -> what `network` gives, without gradient; its weights must not change any more.

    Its channels come to lie beside each other in memory, which convolutions read fastest. With `compile` its layers
    become fused kernels, after a minute or more. `precision` is float32, or bf16, which rounds what is drawn.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, *, compile: bool = False, precision: str = "float32"
    ) -> None:
        super().__init__()
        if precision not in DTYPES:
            raise ValueError(f"precision={precision} is none of {', '.join(DTYPES)}")
        self.device, self.dtype = device, DTYPES[precision]
        self.call = compiled(network.to(memory_format=torch.channels_last), device, compile, frozen=True)

    def forward(self, *inputs: Tensor, **condition: Tensor) -> Tensor:
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return self.call(*inputs, **condition)
