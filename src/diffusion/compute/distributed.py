"""Several processes under torchrun: which one this is, what all of them found, and how they begin."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.distributed
from torch import Tensor

T = TypeVar("T")

# One process may wait for another as long as that one lives; torchrun ends them all when one dies.
PEER_TIMEOUT = timedelta(days=1)


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def local_rank() -> int:
    """The number of this process on its machine, and of its GPU there."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_leader() -> bool:
    """True for the one process that prints and writes."""
    return rank() == 0


def print_once(text: str) -> None:
    if is_leader():
        print(text, flush=True)


def join_process_group(device: torch.device | str = "cpu") -> None:
    """Join the other processes, once: by nccl between GPUs, by gloo for what lies in ordinary memory."""
    if world_size() == 1 or torch.distributed.is_initialized():
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    store, number, number_of_all = next(torch.distributed.rendezvous("env://", timeout=PEER_TIMEOUT))
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=torch.distributed.PrefixStore(restart_count(), store),
        rank=number, world_size=number_of_all, timeout=PEER_TIMEOUT,
    )  # fmt: skip


@contextmanager
def exit_without_teardown() -> Iterator[None]:
    """One of several processes ends with what it comes to here, as `sys.exit` would end it, but at once.

    A thread of gloo that asks for Python while Python ends, to let go of what it sent, would crash the process.
    """
    code: Any = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
        if world_size() == 1:
            raise
    if world_size() > 1:
        if isinstance(code, str):
            print(code, file=sys.stderr)
        atexit._run_exitfuncs()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if isinstance(code, str) else code or 0)


def restart_count() -> str:
    """Which start of the processes this is, as far as all of them know: under torchrun on one machine.

    After a restart torchrun gives them the same store, where the addresses of those that died still stand.
    """
    on_one_machine = int(os.environ.get("LOCAL_WORLD_SIZE", 0)) == world_size()
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if on_one_machine else "0"


def shard(work: Sequence[T]) -> Sequence[T]:
    """This process's part of a list: `gathered`, the parts are in the order of the whole."""
    return work[len(work) * rank() // world_size() : len(work) * (rank() + 1) // world_size()]


class Failure(NamedTuple):
    """What a process brings that cannot bring what it should."""

    message: str


class PeerError(ValueError):
    """What went wrong in one process, raised in all."""


def all_gather(mine: T) -> list[T]:
    """What every process brings, in the order of their ranks; all must call it. Shared if one brings a `Failure`."""
    if world_size() == 1:
        return [mine]
    join_process_group()
    everything: list[T] = [mine] * world_size()
    torch.distributed.all_gather_object(everything, mine)
    for brought in everything:
        if isinstance(brought, Failure):
            raise PeerError(brought.message)
    return everything


@contextmanager
def raise_on_all() -> Iterator[None]:
    """Where what goes wrong in one process is raised in all. They must talk by `gathered` alone meanwhile."""
    try:
        yield
    except PeerError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if world_size() == 1 or is_peer_loss(error):
            raise
        all_gather(Failure(" ".join(str(error).split())))
    else:
        all_gather(None)


def broadcast_from_leader(work: Callable[[], T]) -> T:
    """What `work()` returns in the process that leads; all must call it."""
    with raise_on_all():
        found = work() if is_leader() else None
    return cast(T, all_gather(found)[0])


def all_gather_tensor(mine: Tensor) -> Tensor:
    """The tensors (n, ...) of all processes, one after the other in the order of their ranks; all must call it."""
    if world_size() == 1:
        return mine
    parts = [torch.empty_like(mine) for _ in range(world_size())]
    torch.distributed.all_gather(parts, mine.contiguous())
    return torch.cat(parts)


def all_max(mine: int) -> int:
    """The greatest number that any process brings; all must call it."""
    if world_size() == 1:
        return mine
    number = torch.tensor([mine])
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
    return int(number)


def require_equal(what: str, mine: object) -> None:
    """ValueError unless all processes bring the same; all must call it."""
    everyones = all_gather(mine)
    if any(other != everyones[0] for other in everyones):
        raise ValueError(
            f"{what} differs between the processes: {', '.join(map(str, everyones))}; "
            "runs=... must be a folder that all machines share"
        )


def is_peer_loss(error: BaseException) -> bool:
    """True for what is raised where another process was waited for and had ended."""
    if world_size() == 1 or not isinstance(error, RuntimeError):
        return False
    kinds = ("gloo", "NCCL", "Connection closed by peer", "Connection reset", "Broken pipe")
    return isinstance(error, torch.distributed.DistError) or any(kind in str(error) for kind in kinds)


def let_leader_report() -> None:
    """Wait, in a process that follows, as long as torchrun takes to end it if the leader failed too, and said so."""
    if not is_leader():
        time.sleep(3)


def wait_for_termination() -> None:
    """Wait for torchrun to end this process, as it does once another has failed, if it did not ask for that before."""
    time.sleep(5)
