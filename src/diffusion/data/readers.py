"""Reads images ahead of their use: in a thread what lies in memory, in processes what must be decoded."""

import atexit
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import islice
from threading import Thread
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np
import torch

from diffusion.compute.daemon_thread import DaemonThread
from diffusion.data.images import Images, LabelledPixels

AHEAD = 2  # lists that the thread, or each process, reads before they are asked for
POLL = 0.1  # seconds of waiting after which to ask whether to go on
S = TypeVar("S")
T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def in_order(
    images: Images,
    wanted: Iterable[list[int]],
    *,
    device: torch.device | str = "cpu",
    workers: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[LabelledPixels, None, None]:
    """The images at each list of indices, one list after the other; `close()` ends what reads them.

    They end early where `stop()` while images are waited for, as from a disk that no longer answers.

    For a GPU they come in memory from which it copies without waiting. `workers` processes read them, by default as
    many as the images ask for. ChildProcessError if one of them dies.
    """
    reads = read_in_order(images, wanted, torch.device(device), images.workers if workers is None else workers, stop)
    _open.add(reads)
    close_at_exit()
    return reads


_open: WeakSet[Generator[LabelledPixels, None, None]] = WeakSet()


@cache
def close_at_exit() -> None:
    """Registered once, and by the first who reads: importing registers nothing."""
    atexit.register(close_open)


def close_open() -> None:
    """End what a program leaves open, before Python takes apart what ending it needs."""
    for reads in list(_open):
        reads.close()


def read_in_order(
    images: Images, wanted: Iterable[list[int]], device: torch.device, workers: int, stop: Callable[[], bool]
) -> Generator[LabelledPixels, None, None]:
    """`in_order`, but that nothing closes when the program ends."""
    # A forked process has the images at once; elsewhere than on Linux, libraries do not bear a fork.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(workers, context, initializer=start_process, initargs=(images,)) if workers else None
    with pool or DaemonThread() as executor:
        read: Callable[[list[int]], Any] = read_arrays if pool else lambda indices: pinned(images.read(indices), device)
        try:
            for each in ahead(executor, read, wanted, AHEAD * max(workers, 1), stop):
                yield pinned(LabelledPixels(*map(torch.from_numpy, each)), device) if pool else each
        except BrokenProcessPool:
            raise ChildProcessError(  # an OSError, which the command line shows in one line
                "a process that reads images died, perhaps for want of memory; set data.workers=0 to do without, and "
                "the same command goes on from the last checkpoint"
            ) from None
        finally:
            for process in list(pool._processes.values()) if pool else ():
                process.kill()  # else closing would wait for what they decode
            executor.shutdown(cancel_futures=True)


def ahead(
    executor: Executor, call: Callable[[S], T], values: Iterable[S], count: int, stop: Callable[[], bool]
) -> Iterator[T]:
    """call(value) for each value in turn, of which `executor` works on the next `count`; no more after `stop()`."""
    rest = iter(values)
    futures = deque(executor.submit(call, value) for value in islice(rest, count))
    while futures:
        while not wait_for([futures[0]], timeout=POLL).done:
            if stop():
                return
        result = futures.popleft().result()
        futures.extend(executor.submit(call, value) for value in islice(rest, 1))
        yield result


def pinned(read: LabelledPixels, device: torch.device) -> LabelledPixels:
    """The same in memory from which `device` copies without waiting."""
    if device.type != "cuda":
        return read
    with torch.cuda.device(device):  # a thread begins with GPU 0
        return LabelledPixels(read.pixels.pin_memory(), read.labels.pin_memory())


def start_process(images: Images) -> None:
    """Have this process read `images` until its parent ends, be it suddenly."""
    global _images
    _images = images
    # Ctrl-C or a scheduler signals every process of a job; the one that saves needs its readers until it has saved.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)  # the threads that torch had in the parent are not here
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


_images: Images  # in a process that reads


def read_arrays(indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels as arrays, which need no shared memory."""
    pixels, labels = _images.read(indices)
    return pixels.numpy(), labels.numpy()
