"""How far images, or their features, lie from each other: L2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Nearest(NamedTuple):
    """The distance of each image to the nearest of others, (N,), and which one that is, (N,)."""

    distance: Tensor
    which: Tensor


def nearest(x: Tensor, others: Iterable[Tensor]) -> Nearest:
    """The nearest of `others`, (M, D) in parts, to each of x (N, D); they need not fit in memory together."""
    distance, which, passed = x.new_full((len(x),), torch.inf), x.new_zeros(len(x), dtype=torch.long), 0
    for part in others:
        found = torch.cdist(x, part.to(x.device), compute_mode=EXACT).min(1)
        which = torch.where(found.values < distance, found.indices + passed, which)
        distance = torch.minimum(distance, found.values)
        passed += len(part)
    return Nearest(distance, which)


def variety(x: Tensor, y: Tensor) -> float:
    """The mean distance between two images of one class, over all pairs, then over classes; each has two or more.

    The images x (N, C, H, W) lie in [-1, 1], their classes are y (N,); distances are over pixels in [0, 1].
    """
    return torch.stack([torch.pdist(flat_pixels(x[y == label])).mean() for label in y.unique()]).mean().item()


def flat_pixels(x: Tensor) -> Tensor:
    return ((x + 1) / 2).flatten(1)


# The quicker way by a matrix product would not tell a copy from a near copy.
EXACT = "donot_use_mm_for_euclid_dist"
