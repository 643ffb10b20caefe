"""Randomness as a function of a key: the same numbers on one process or many, in one batch or ten."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def seed_of(*key: int | str) -> int:
    """A 63-bit seed that depends on every part of `key`, and on nothing else."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that `key` alone determines, such as (seed, "noise", image number)."""
    return torch.Generator(device).manual_seed(seed_of(*key))


HALF_CELL = 2.0**-25
"""Half the distance of the numbers that `uniform` gives on a CPU: k / 2^24 stands for [k, k + 1) / 2^24."""


def uniform(generators: Iterable[torch.Generator]) -> Tensor:
    """One number in [0, 1) from each of N generators, (N,)."""
    return torch.stack([torch.rand((), generator=g, device=g.device) for g in generators])


def normal(generators: Iterable[torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise, one slice from each of N generators, (N, *shape)."""
    return torch.stack([torch.randn(shape, generator=g, device=g.device) for g in generators])
