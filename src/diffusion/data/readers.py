"""Reads images ahead of their use: in a thread what lies in memory, in processes what must be decoded."""

from __future__ import annotations

import atexit
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from diffusion.data.images import Images, LabelledPixels

AHEAD = 2  # lists that are read before they are asked for, by the thread or by each process
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def in_order(
    images: Images,
    wanted: Iterable[list[int]],
    *,
    device: torch.device | str = "cpu",
    workers: int | None = None,
) -> Generator[LabelledPixels, None, None]:
    """The images at each list of indices, one list after the other; `close()` ends what reads them.

    For a GPU they come in memory from which it copies without waiting. `workers` processes read them, by default as
    many as the images ask for. ChildProcessError if one of them dies.
    """
    count = images.workers if workers is None else workers
    device = torch.device(device)
    return _in_processes(images, wanted, device, count) if count else _in_a_thread(images, iter(wanted), device)


def _in_a_thread(
    images: Images, wanted: Iterator[list[int]], device: torch.device
) -> Generator[LabelledPixels, None, None]:
    def read_next() -> LabelledPixels | None:
        indices = next(wanted, None)
        return None if indices is None else pinned(images.read(indices), device)

    thread = ThreadPoolExecutor(1)
    try:
        ahead = deque(thread.submit(read_next) for _ in range(AHEAD))
        while (read := ahead.popleft().result()) is not None:
            ahead.append(thread.submit(read_next))
            yield read
    finally:
        thread.shutdown(cancel_futures=True)


def _in_processes(
    images: Images, wanted: Iterable[list[int]], device: torch.device, count: int
) -> Generator[LabelledPixels, None, None]:
    loader = DataLoader(
        Lists(images),
        sampler=wanted,
        batch_size=None,
        collate_fn=unchanged,
        num_workers=count,
        prefetch_factor=AHEAD,
        worker_init_fn=ignore_signals,
        # A forked process has the images at once; elsewhere than on Linux, libraries do not bear a fork.
        multiprocessing_context="fork" if sys.platform == "linux" else None,
        generator=torch.Generator(),  # else each start would draw from the global one
    )
    with ThreadPoolExecutor(1) as thread:  # in the main thread, torch would handle SIGCHLD, and raise in any line
        reads: Any = thread.submit(iter, loader).result()
    end = partial(kill, reads._workers)
    atexit.register(end)  # else Python would send SIGTERM, which they ignore, and wait for ever
    try:
        for answer in reads:
            if isinstance(answer, Exception):
                raise answer
            yield pinned(LabelledPixels(*map(torch.from_numpy, answer)), device)
    except RuntimeError as error:
        if all(process.is_alive() for process in reads._workers):
            raise
        raise ChildProcessError(  # an OSError, which the command line shows in one line
            "a process that reads images died, perhaps for want of memory; set data.workers=0 to do without, and the "
            "same command goes on from the last checkpoint"
        ) from error
    finally:
        end()
        atexit.unregister(end)


def pinned(read: LabelledPixels, device: torch.device) -> LabelledPixels:
    """The same in memory from which `device` copies without waiting."""
    if device.type != "cuda":
        return read
    with torch.cuda.device(device):  # a thread begins with GPU 0
        return LabelledPixels(read.pixels.pin_memory(), read.labels.pin_memory())


class Lists(Dataset[list[np.ndarray] | Exception]):
    """Pixels and labels at a list of indices as arrays, which need no shared memory, or the user's error as it was."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __getitem__(self, indices: list[int]) -> list[np.ndarray] | Exception:
        try:
            return [tensor.numpy() for tensor in self.images.read(indices)]
        except (ValueError, OSError) as error:
            return error


def unchanged(answer: object) -> object:
    """What torch would else make tensors of."""
    return answer


def ignore_signals(number: int) -> None:
    """Ctrl-C or a scheduler signals every process of a job; the one that saves needs its readers until it has saved."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def kill(processes: list[Any]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
