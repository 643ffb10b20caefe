"""A GPU that computes nothing: all has its shape and its place, and what would make a program wait is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU, META = torch.device("cuda", 0), torch.device("meta")
READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "repeat_interleave",
    "_unique2", "_linalg_check_errors",
}  # fmt: skip
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}


class Waits(RuntimeError):
    """An operation that goes on only when the device has done all that came before it."""


class OnGPU(Tensor):
    """A tensor without content that says it lies on a GPU; to torch's own functions, it is what it is."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    within_torch = False

    @property
    def device(self) -> torch.device:
        return META if OnGPU.within_torch else GPU

    @property
    def is_cuda(self) -> bool:
        return self.device == GPU

    @property
    def is_meta(self) -> bool:
        return self.device == META


class AnyGenerator(torch.Generator):
    """A generator of any device, in the memory of the CPU."""

    def __new__(cls, device: Any = "cpu") -> AnyGenerator:
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self.place = GPU if torch.device(device).type == "cuda" else torch.device("cpu")

    @property
    def device(self) -> torch.device:
        return self.place


class FakeGPU(TorchDispatchMode):
    """`Waits` is raised by what torch.cuda.set_sync_debug_mode refuses: numbers that are read back, shapes that depend
    on them, and copies from the GPU; where it `hurries`, also copies to it from memory that is not pinned. The first
    numbers that are read back are the `answers`.
    """

    hurries = False

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Any] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name, tensors = dict(kwargs or {}), function.overloadpacket.__name__, tensors_in(args, kwargs)
        to = kwargs.get("device")
        if (to is None or to.type == "cpu") and not any(isinstance(tensor, OnGPU) for tensor in tensors):
            return function(*args, **kwargs)
        if name == "_local_scalar_dense" and self.answers:
            return self.answers.pop(0)
        self.look(name, args, kwargs, [tensor for tensor in tensors if not isinstance(tensor, OnGPU)])
        kwargs |= {"device": META} if to is not None else {}
        kwargs |= {ours: None for ours in ("pin_memory", "generator") if ours in kwargs}
        OnGPU.within_torch = True
        try:
            result = function(*args, **kwargs)
        finally:
            OnGPU.within_torch = False
        return tree_map_only(Tensor, lambda t: t if isinstance(t, OnGPU) else t.as_subclass(OnGPU), result)

    def look(self, name: str, args: Any, kwargs: Any, of_cpu: list[Tensor]) -> None:
        """Raise Waits, or RuntimeError for what a GPU cannot do with tensors of the CPU."""
        to = kwargs.get("device")
        if (
            name in READS
            or (to is not None and to.type == "cpu")
            or (name == "copy_" and not isinstance(args[0], OnGPU))
        ):
            raise Waits(f"{name} reads from the device")
        if name in INDEXED and any(index is not None and index.dtype == torch.bool for index in args[1]):
            raise Waits(f"{name} reads from the device how many are chosen by a mask")
        if name in ("_to_copy", "copy_"):
            asynchronous = kwargs.get("non_blocking") or (name == "copy_" and True in args[2:])
            if self.hurries and not all(asynchronous and hasattr(source, "lies_pinned") for source in of_cpu):
                raise Waits(f"{name} copies to the device what is not pinned")
        elif any(tensor.ndim for tensor in of_cpu):
            raise RuntimeError(f"{name} mixes tensors of the GPU with one of the CPU {(*of_cpu[0].shape,)}")


def pin_memory(tensor: Tensor) -> Tensor:
    """A copy that is marked as pinned: `Tensor.pin_memory` without a GPU."""
    assert not isinstance(tensor, OnGPU), "only tensors of the CPU can be pinned"
    copy = tensor.clone()
    copy.lies_pinned = True
    return copy


def tensors_in(*tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextmanager
def fake_gpu() -> Iterator[FakeGPU]:
    """Tensors of device cuda inside are `OnGPU`."""
    lifts = torch._C._only_lift_cpu_tensors()
    with (
        patch.object(torch.cuda, "_lazy_init", lambda: None),
        patch.object(torch, "Generator", AnyGenerator),
        patch.object(Tensor, "pin_memory", pin_memory),
        patch.object(torch.cuda, "device", nullcontext),
        patch("torch.nn.utils.clip_grad._device_has_foreach_support", lambda _: True),
    ):
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") then copies in the open
        try:
            with FakeGPU() as gpu:
                yield gpu
        finally:
            torch._C._set_only_lift_cpu_tensors(lifts)
