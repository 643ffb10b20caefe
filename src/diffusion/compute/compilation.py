"""Compiling a network to fused kernels, where that works."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

log = logging.getLogger(__name__)


def compile_network(
    network: Callable[..., Tensor], device: torch.device, wanted: bool | None, *, frozen: bool = False
) -> Callable[..., Tensor]:
    """The network, compiled if `wanted`; None: on GPUs, where it pays within minutes. Its weights stay its own.

    With `frozen` they become constants, laid out for the device once, that must not change any more, and a GPU gets all
    kernels at once, as a CUDA graph; it is then to be called without gradient. A network that cannot be compiled on
    this machine goes on as it is, and says so once.
    """
    if not (device.type == "cuda" if wanted is None else wanted):
        return network
    graphed = frozen and device.type == "cuda"
    call: Callable[..., Tensor] = torch.compile(network, options={"triton.cudagraphs": True} if graphed else None)

    def fast(*inputs: Tensor, **condition: Tensor) -> Tensor:
        nonlocal call
        if call is network:
            return network(*inputs, **condition)
        try:
            with weights_as_constants() if frozen else nullcontext():
                output = call(*inputs, **condition)
            # A graph writes its next output over this one.
            return output.clone() if graphed else output
        except compile_errors() as error:
            reason = str(error).strip().partition("\n")[0]
            log.warning("Going on without compiling the network, which failed: %s", reason)
            call = network
            return network(*inputs, **condition)

    return fast


def weights_as_constants() -> AbstractContextManager:
    """A context in which weights are compiled in: the compiler reads this setting before a network's own options."""
    import torch._inductor.config  # here, since it takes seconds

    return torch._inductor.config.patch(freezing=True)


def compile_errors() -> tuple[type[Exception], ...]:
    """What `torch.compile` raises without a C compiler, a folder to write to and the like."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException, OSError)
