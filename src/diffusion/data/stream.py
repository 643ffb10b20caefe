"""Training sees one endless stream of images. Which image stands at which position depends on the seed alone.

Position p lies in epoch p // length, and an epoch shows every image once. So a resumed run takes up the stream where
it was left, and several processes share the positions of a batch among them.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from diffusion.compute.randomness import generator


def indices(positions: range, *, length: int, seed: int) -> Tensor:
    """The image at each position, int64 (N,) in 0..length-1."""
    return _along(positions, length, partial(_order, length, seed))


def mirrored(positions: range, *, length: int, seed: int) -> Tensor:
    """Whether the image at each position is flipped: a fair coin, bool (N,)."""
    return _along(positions, length, partial(_coins, length, seed))


@lru_cache(maxsize=2)
def _order(length: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(length, generator=generator(seed, "order", epoch))


@lru_cache(maxsize=2)
def _coins(length: int, seed: int, epoch: int) -> Tensor:
    return torch.rand(length, generator=generator(seed, "flip", epoch)) < 0.5


def _along(positions: range, length: int, table: Callable[[int], Tensor]) -> Tensor:
    """table(epoch), (length,), read at positions that may reach into the next epoch."""
    start, stop = positions.start, positions.stop
    epochs = range(start // length, (stop - 1) // length + 1)
    return torch.cat([table(epoch)[max(start - epoch * length, 0) : stop - epoch * length] for epoch in epochs])
