"""A network compiled to fused kernels, where that works."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger(__name__)


def compiled(
    network: Callable[..., Tensor], device: torch.device, wanted: bool | None, *, frozen: bool = False
) -> Callable[..., Tensor]:
    """The network, compiled if `wanted`; None: on GPUs, where it pays within minutes. Its weights stay its own.

    With `frozen` they become constants, laid out for the device once, that must not change any more. A network that
    cannot be compiled on this machine goes on as it is, and says so once.
    """
    if not (device.type == "cuda" if wanted is None else wanted):
        return network
    call: Callable[..., Tensor] = torch.compile(network, options={"freezing": True} if frozen else None)

    def fast(*inputs: Tensor, **condition: Tensor) -> Tensor:
        nonlocal call
        if call is network:
            return network(*inputs, **condition)
        try:
            return call(*inputs, **condition)
        except failures() as error:
            reason = str(error).strip().partition("\n")[0]
            log.warning("Going on without compiling the network, which failed: %s", reason)
            call = network
            return network(*inputs, **condition)

    return fast


def failures() -> tuple[type[Exception], ...]:
    """What torch.compile raises where it cannot go on; imported late, since that takes seconds."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException,)
