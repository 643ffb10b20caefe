"""Training sees one endless stream of images. Which image stands at which position depends on the seed alone.

Position p lies in epoch p // length, and an epoch shows every image once. So a resumed run takes up the stream where
it was left, and several processes share the positions of a batch among them.
"""

from functools import lru_cache

import torch
from torch import Tensor

from diffusion.compute.randomness import generator


def indices(positions: range, *, length: int, seed: int) -> Tensor:
    """The image at each position, int64 (N,) in 0..length-1."""
    return _along(positions, "order", length, seed)


def mirrored(positions: range, *, length: int, seed: int) -> Tensor:
    """Whether the image at each position is flipped: a fair coin, bool (N,)."""
    return _along(positions, "flip", length, seed)


@lru_cache(maxsize=4)
def _table(kind: str, length: int, seed: int, epoch: int) -> Tensor:
    chance = generator(seed, kind, epoch)
    return torch.randperm(length, generator=chance) if kind == "order" else torch.rand(length, generator=chance) < 0.5


def _along(positions: range, kind: str, length: int, seed: int) -> Tensor:
    """The tables of this kind, one an epoch, read at positions that may reach into the next epoch."""
    start, stop = positions.start, positions.stop
    tables = ((e * length, _table(kind, length, seed, e)) for e in range(start // length, (stop - 1) // length + 1))
    return torch.cat([table[max(start - first, 0) : stop - first] for first, table in tables])
