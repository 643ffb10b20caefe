"""Reads images ahead of their use: in a thread, and in other processes where the images ask for it."""

from __future__ import annotations

import atexit
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from diffusion.data.images import Images, LabelledPixels
from diffusion.data.readers import Readers

AHEAD = 2


def in_order(
    images: Images,
    wanted: Iterable[list[int]],
    *,
    device: torch.device | str = "cpu",
    workers: int | None = None,
) -> Generator[LabelledPixels, None, None]:
    """The images at each list of indices, one list after the other; `close()` ends what reads them.

    For a GPU they come in memory from which it copies without waiting. `workers` processes read them, by default as
    many as the images ask for.
    """
    reads = _reads(images, iter(wanted), torch.device(device), images.workers if workers is None else workers)
    _open.add(reads)
    return reads


def _reads(
    images: Images, wanted: Iterator[list[int]], device: torch.device, workers: int
) -> Generator[LabelledPixels, None, None]:
    readers = Readers(images, wanted, workers) if workers else None
    source = readers or map(images.read, wanted)
    thread = ThreadPoolExecutor(1)
    try:
        ahead = deque(thread.submit(_next, source, device) for _ in range(AHEAD))
        while (read := ahead.popleft().result()) is not None:
            ahead.append(thread.submit(_next, source, device))
            yield read
    finally:
        if readers:
            readers.close()
        thread.shutdown(cancel_futures=True)


def _next(source: Iterator[LabelledPixels], device: torch.device) -> LabelledPixels | None:
    read = next(source, None)
    if read is None or device.type != "cuda":
        return read
    with torch.cuda.device(device):  # a thread begins with GPU 0
        return LabelledPixels(read.pixels.pin_memory(), read.labels.pin_memory())


_open: weakref.WeakSet[Generator[LabelledPixels, None, None]] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Ends the readers when Python ends, which else would send them SIGTERM and wait for ever."""
    for reads in list(_open):
        reads.close()
