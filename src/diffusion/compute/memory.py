"""Whether what is asked for can fit into this machine's memory at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class Unfilled(TorchFunctionMode):
    """Leaves weights on the meta device as they are, where torch takes seconds to load what fills them with nothing."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__module__", None) == nn.init.__name__:
            return [*args, *(kwargs or {}).values()][0]
        return function(*args, **(kwargs or {}))


@contextmanager
def without_memory() -> Iterator[None]:
    """Networks that are built inside have weights of a shape and no content, on the meta device."""
    with torch.device("meta"), Unfilled():
        yield


def check_room(needed: int, what: str, change: str) -> None:
    """Raise ValueError if `what` takes more bytes than this machine has; `change` is what to type instead."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ValueError(f"{what} would take {needed / 1e9:.4g} GB, and this machine has {there / 1e9:.4g}; {change}")


def bytes_of(network: nn.Module) -> int:
    """The bytes of the weights and buffers of a network, also of one on the meta device."""
    return sum(each.nelement() * each.element_size() for each in (*network.parameters(), *network.buffers()))


def check_pixels(count: int, shape: tuple[int, int, int], change: str) -> None:
    """Raise ValueError if `count` images of one byte a number cannot be held."""
    check_room(count * prod(shape), f"{count} images of {'x'.join(map(str, shape))}", change)
