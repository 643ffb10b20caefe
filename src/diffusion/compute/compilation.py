"""Compiling a network to fused kernels, where that works."""

import logging
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

log = logging.getLogger(__name__)


def compile_network(
    network: Callable[..., Tensor], device: torch.device, wanted: bool | None, *, frozen: bool = False,
    setting: str = "compile",
) -> Callable[..., Tensor]:  # fmt: skip
    """The network, compiled if `wanted`; None: on GPUs, where it pays within minutes. Its weights stay its own.

    With `frozen` they become constants, laid out for the device once, that must not change any more, and a GPU gets all
    kernels at once, as a CUDA graph; it is then to be called without gradient. A network that cannot be compiled on
    this machine goes on as it is, and says so once. `setting` is what a user types to choose.
    """
    if not (device.type == "cuda" if wanted is None else wanted):
        return network
    from torch._dynamo.exc import TorchDynamoException  # here, since they take seconds
    from torch._inductor import config

    graphed = frozen and device.type == "cuda"
    call: Callable[..., Tensor] | None = torch.compile(
        network, options={"triton.cudagraphs": True} if graphed else None
    )
    announced = False

    def fast(*inputs: Tensor, **condition: Tensor) -> Tensor:
        nonlocal call, announced
        if not announced:
            log.info("Compiling the network: a minute or more; %s=false does without", setting)
            announced = True
        if call is not None:
            try:
                # The compiler reads this setting before a network's own options.
                with config.patch(freezing=True) if frozen else nullcontext():
                    output = call(*inputs, **condition)
                # A graph writes its next output over this one.
                return output.clone() if graphed else output
            except (TorchDynamoException, OSError) as error:  # no C compiler, no folder to write to and the like
                reason = str(error).strip().partition("\n")[0]
                log.warning("Going on without compiling the network, which failed: %s", reason)
                call = None
        return network(*inputs, **condition)

    return fast
