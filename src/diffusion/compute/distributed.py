"""Several processes under torchrun: ranks, the process group, and what all processes exchange."""

import atexit
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed
from torch import Tensor

T = TypeVar("T")

# One process waits for another as long as that one lives; torchrun ends them all when one dies.
PEER_TIMEOUT = timedelta(days=1)


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def is_leader() -> bool:
    """True for the one process that prints and writes."""
    return rank() == 0


def print_once(text: str) -> None:
    if is_leader():
        print(text, flush=True)


def join_process_group(device: torch.device | str = "cpu") -> None:
    """Join the process group, once: nccl for tensors on GPUs, gloo for those in ordinary memory."""
    if world_size() == 1 or torch.distributed.is_initialized():
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    store, number, number_of_all = next(torch.distributed.rendezvous("env://", timeout=PEER_TIMEOUT))
    # After a restart torchrun gives the same store, which still holds the addresses of the dead processes. On one
    # machine all know the number of the restart.
    on_one_machine = int(os.environ.get("LOCAL_WORLD_SIZE", 0)) == number_of_all
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if on_one_machine else "0"
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=torch.distributed.PrefixStore(restart, store),
        rank=number, world_size=number_of_all, timeout=PEER_TIMEOUT,
    )  # fmt: skip


@contextmanager
def exit_without_teardown() -> Iterator[None]:
    """End one of several processes after the block as `sys.exit` would, but without tearing Python down.

    A thread of gloo that frees what it sent while the interpreter is torn down would crash the process.
    """
    if world_size() == 1:
        yield
        return
    code: Any = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def shard(work: Sequence[T]) -> Sequence[T]:
    """This process's part of `work`; the parts, gathered by rank, are in the order of `work`. The leader's is not empty
    unless `work` is."""
    begin, end = (-(-len(work) * number // world_size()) for number in (rank(), rank() + 1))
    return work[begin:end]


class PeerError(ValueError):
    """What went wrong in one process, raised in all."""


def all_gather(mine: T) -> list[T]:
    """The value of every process by rank; all must call it. A PeerError that one of them sends is raised on all."""
    if world_size() == 1:
        return [mine]
    join_process_group()
    values: list[T] = [mine] * world_size()
    torch.distributed.all_gather_object(values, mine)
    for value in values:
        if isinstance(value, PeerError):
            raise value
    return values


@contextmanager
def raise_on_all() -> Iterator[None]:
    """Raise an error of one process in all of them. Within the block they may communicate by `all_gather` only."""
    try:
        yield
    except PeerError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if world_size() == 1 or is_peer_loss(error):
            raise
        all_gather(PeerError(" ".join(str(error).split())))
    else:
        all_gather(None)


def broadcast_from_leader(work: Callable[[], T]) -> T:
    """The result of `work()` in the leader, on all processes; all must call it."""
    with raise_on_all():
        result = work() if is_leader() else None
    return cast(T, all_gather(result)[0])


def all_gather_tensor(mine: Tensor) -> Tensor:
    """The tensors (n, ...) of all processes, concatenated by rank; all must call it."""
    if world_size() == 1:
        return mine
    parts = [torch.empty_like(mine) for _ in range(world_size())]
    torch.distributed.all_gather(parts, mine.contiguous())
    return torch.cat(parts)


def all_mean(mine: Tensor) -> Tensor:
    """The mean over all processes of tensors of one shape; the tensor itself where there is one process."""
    return mine if world_size() == 1 else all_gather_tensor(mine[None]).mean(0)


def all_max(mine: int) -> int:
    """The greatest `mine` of all processes; all must call it."""
    return int(all_gather_tensor(torch.tensor([mine])).max())


def require_equal(what: str, mine: object) -> None:
    """ValueError unless `mine` is equal on all processes; all must call it."""
    values = all_gather(mine)
    if any(value != values[0] for value in values):
        raise ValueError(
            f"{what} differs between the processes: {', '.join(map(str, values))}; "
            "runs=... must be a folder that all machines share"
        )


def is_peer_loss(error: BaseException) -> bool:
    """True for an error of communication with a process that has ended."""
    if world_size() == 1 or not isinstance(error, RuntimeError):
        return False
    kinds = ("gloo", "NCCL", "Connection closed by peer", "Connection reset", "Broken pipe")
    return isinstance(error, torch.distributed.DistError) or any(kind in str(error) for kind in kinds)
