"""Several processes under torchrun: which one this is, and what all of them found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import torch.distributed

T = TypeVar("T")

# One process may wait for another as long as that one lives; torchrun ends them all when one dies.
PATIENCE = timedelta(days=1)


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def local_rank() -> int:
    """The number of this process on its machine, and of its GPU there."""
    return int(os.environ.get("LOCAL_RANK", 0))


def leads() -> bool:
    """True for the one process that prints and writes."""
    return rank() == 0


def say(text: str) -> None:
    if leads():
        print(text, flush=True)


def share(work: Sequence[T]) -> Sequence[T]:
    """This process's part of a list: `gathered`, the parts are in the order of the whole."""
    return work[len(work) * rank() // world() : len(work) * (rank() + 1) // world()]


def gathered(mine: T) -> list[T]:
    """What every process brings, in the order of their ranks; all must call it."""
    if world() == 1:
        return [mine]
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    everything: list[T] = [mine] * world()
    torch.distributed.all_gather_object(everything, mine)
    return everything


def require_one_process(what: str) -> None:
    """ValueError if torchrun started several: they would all do the same and write over each other."""
    if world() > 1:
        raise ValueError(f"{what} runs in one process, not in {world()}; start it with python instead of torchrun")
