"""Training a network on several processes: replicated (DDP) or sharded (FSDP2).

Either has a `model`, whose parameters are trained, and a `network`, which is called to train them. `needs_no_other`
says whether each process alone has all that a checkpoint holds.
"""

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from diffusion.compute import distributed
from diffusion.compute.device import channels_last


def check_processes(kind: str) -> None:
    """Raise ValueError if a network cannot be spread over the processes that there are in this way."""
    if kind == "fsdp" and distributed.world_size() == 1:
        raise ValueError(
            "train.parallel=fsdp spreads the weights over several processes, and this is one; "
            "start it with torchrun --nproc_per_node=2, or leave it out"
        )


class Replicated:
    """Every process has the whole network (DDP); one process alone needs nothing more."""

    needs_no_other = True
    network: Callable[..., Tensor]

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model = self.network = channels_last(model.to(device))
        self.replica: DistributedDataParallel | None = None
        if distributed.world_size() > 1:
            self.network = self.replica = DistributedDataParallel(model, gradient_as_bucket_view=True)

    def adding(self, *, last: bool) -> AbstractContextManager:
        """A context for a backward that adds to the gradients; the `last` one averages them over processes."""
        return nullcontext() if last or self.replica is None else self.replica.no_sync()

    def check(self) -> None:
        """Raise ValueError after a backward that left a weight without gradient, for which DDP would wait in vain."""
        named = self.model.named_parameters() if self.replica is not None else ()
        if idle := [name for name, weight in named if weight.requires_grad and weight.grad is None]:
            raise ValueError(
                f"several processes train networks all of whose weights count, and {idle[0]} does not: "
                f"leave it out of {type(self.model).__name__}, or freeze it by requires_grad_(False)"
            )

    def plain(self) -> nn.Module:
        """The network without wrappers or shards, on any device, to be called with weights from elsewhere."""
        return self.model


class Sharded:
    """Every process has a part of each weight, its average and its optimizer state, and borrows the rest (FSDP2)."""

    needs_no_other = False
    network: Callable[..., Tensor]

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        check_processes("fsdp")
        from torch.distributed.fsdp import fully_shard  # here, since it takes most of a second

        self.skeleton = copy.deepcopy(model)
        self.model = self.network = model.to(device)
        for modules in [child for child in model.modules() if isinstance(child, nn.ModuleList)]:
            for stage in modules:
                fully_shard(stage)
        fully_shard(model)

    def adding(self, *, last: bool) -> AbstractContextManager:
        self.model.set_requires_gradient_sync(last)  # type: ignore[operator]
        return nullcontext()

    def check(self) -> None:
        """Nothing: each process waits for none of its weights."""

    def plain(self) -> nn.Module:
        return self.skeleton


Parallel = Replicated | Sharded
KINDS: dict[str, type[Parallel]] = {"ddp": Replicated, "fsdp": Sharded}


def is_sharded(tensor: Tensor) -> bool:
    """True for a DTensor, of which this process has a part."""
    return hasattr(tensor, "device_mesh")


def local_shards(tensors: Iterable[Tensor]) -> list[Tensor]:
    """This process's part of each tensor, sharing its memory; for use under `torch.no_grad`."""
    return [tensor.to_local() if is_sharded(tensor) else tensor for tensor in tensors]  # type: ignore[attr-defined]


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """Nested dicts, lists and tuples with `function` of each tensor in its place."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [map_tensors(function, value) for value in tree]
    return tuple(map_tensors(function, value) for value in tree) if type(tree) is tuple else tree


def full(tensor: Tensor) -> Tensor:
    """The tensor, assembled if it is sharded: all processes must then call it."""
    return tensor.full_tensor().detach() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def full_on_leader(tensor: Tensor) -> Tensor:
    """The same for a file: assembled in the leader's ordinary memory, empty elsewhere."""
    if not is_sharded(tensor):
        return tensor
    return full(tensor).cpu() if distributed.is_leader() else full(tensor).new_empty(0)


def laid_out_like(tensor: Tensor, like: Any, name: str) -> Tensor:
    """`tensor` sharded and ordered in memory as `like` is, which a fused optimizer assumes.

    ValueError if its shape is another, which `copy_` would stretch, or its dtype, which that would round.
    """
    if (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
        has, needs = (f"{(*each.shape,)} {each.dtype}".replace("torch.", "") for each in (tensor, like))
        raise ValueError(f"{name} is {has}, needed {needs}")
    if not is_sharded(like):
        return torch.empty_like(like).copy_(tensor)
    from torch.distributed.tensor import distribute_tensor

    here = tensor.to(like.device).contiguous()
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)
