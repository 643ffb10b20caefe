"""Which device a name stands for, copying tensors to it, and their order in its memory."""

import torch
import torch.distributed
from torch import Tensor, nn

from diffusion.compute import distributed
from diffusion.compute.precision import set_matmul_precision


def resolve_device(name: str) -> torch.device:
    """The device called `name`, its matrix products in exact float32; ValueError if it cannot be used.

    "cuda" is this process's GPU; "auto" is that GPU where there is one, else the CPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda:") and distributed.world_size() > 1:
        raise ValueError(f"device={name} would be the GPU of all {distributed.world_size()} processes; leave it out")
    try:
        device = local_gpu() if name == "cuda" else torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={name} cannot be used ({reason}); device=cpu always can") from None
    if device.type == "meta":
        raise ValueError("device=meta computes no numbers; device=cpu always can")
    set_matmul_precision("float32", device)
    return device


def local_gpu() -> torch.device:
    """The GPU of this process; ValueError if its machine has none for it."""
    count, number = torch.cuda.device_count(), torch.distributed.get_node_local_rank(fallback_rank=0)
    if not count:
        raise ValueError("device=cuda cannot be used (there is no GPU that torch can see); device=cpu always can")
    if number >= count:
        raise ValueError(f"process {number} finds {count} GPUs here; start torchrun with --nproc_per_node={count}")
    return torch.device("cuda", number)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """`values` on `device`, without waiting for what a GPU still has to do."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def channels_last(network: nn.Module) -> nn.Module:
    """The network with each image's channels beside each other in memory, which convolutions read fastest."""
    for weight in network.parameters():
        if weight.ndim == 4:  # others know no such order, or another
            weight.data = weight.data.to(memory_format=torch.channels_last)
    return network
