"""The device that a name means: the CPU, a GPU, or this process's own GPU."""

from __future__ import annotations

import torch

from diffusion.compute import distributed, precision


def resolve_device(name: str) -> torch.device:
    """The device of that name, whose products are exact: "cuda" is this process's GPU, and "auto" if there is one."""
    device = usable_device(name)
    precision.set_matmul_precision("float32", device)
    return device


def usable_device(name: str) -> torch.device:
    """The device that the name means; ValueError if it cannot be used."""
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return own_gpu()
    if name == "auto":
        return torch.device("cpu")
    if name.startswith("cuda:") and distributed.world_size() > 1:
        raise ValueError(f"device={name} would be the GPU of all {distributed.world_size()} processes; leave it out")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={name} cannot be used ({reason}); device=cpu always can") from None
    return device


def own_gpu() -> torch.device:
    """The GPU of this process; ValueError if its machine has none for it."""
    there, number = torch.cuda.device_count(), distributed.local_rank()
    if not there:
        raise ValueError("device=cuda cannot be used (there is no GPU that torch can see); device=cpu always can")
    if number >= there:
        raise ValueError(f"process {number} finds {there} GPUs here; start torchrun with --nproc_per_node={there}")
    return torch.device("cuda", number)
