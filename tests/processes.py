"""Work done by several processes together, as torchrun would start them, but without importing torch anew in each."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch


def together(world: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(*arguments)` returns, plain values, in each of `world` processes, in the order of their ranks."""
    fork = multiprocessing.get_context("fork")
    port, results = free_port(), fork.SimpleQueue()
    processes = [fork.Process(target=one, args=(rank, world, port, results, work, arguments)) for rank in range(world)]
    for process in processes:
        process.start()
    told = dict(answer(results, processes) for _ in processes)
    for process in processes:
        process.join(30)
        process.kill()
    for rank, (worked, result) in sorted(told.items()):
        assert worked, f"process {rank} of {world}:\n{result}"
    return [told[rank][1] for rank in range(world)]


def answer(results: Any, processes: list[Any]) -> Any:
    """The next of the results; an error, instead of waiting for ever, once a process has died without one."""
    while results.empty():
        died = [process.exitcode for process in processes if process.exitcode]
        assert not died or not results.empty(), f"a process died with exit code {died[0]}"
        time.sleep(0.01)
    return results.get()


def one(rank: int, world: int, port: int, results: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ.update({name: str(number) for name, number in place.items()} | {"MASTER_ADDR": "127.0.0.1"})
    torch.set_num_threads(1)
    try:
        torch.distributed.init_process_group("gloo")
        result = True, work(*arguments)
    except BaseException:
        result = False, traceback.format_exc()
    results.put((rank, result))
    # Before it ends: whoever still talks to this process would fail instead of telling what it found.
    if torch.distributed.is_initialized() and result[0]:
        torch.distributed.barrier()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
