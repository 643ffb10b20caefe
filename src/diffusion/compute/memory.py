"""Whether what is asked for can fit into this machine's memory at all."""

import os
from math import prod

from torch import nn


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
