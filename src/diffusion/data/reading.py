"""Reads images ahead of their use, in other processes where the images ask for it."""

from __future__ import annotations

import atexit
import signal
import weakref
from collections.abc import Generator, Iterable

import torch
from torch.utils.data import DataLoader, Dataset

from diffusion.data.images import Images, Labelled

Wanted = list[int]


def in_order(images: Images, wanted: Iterable[Wanted], *, pinned: bool = False) -> Generator[Labelled, None, None]:
    """The images at each list of indices, one list after the other; `close()` ends the reading processes.

    `pinned`: in memory from which a GPU copies without waiting.
    """
    loader: DataLoader[Labelled | ValueError] = DataLoader(
        _Reader(images),
        batch_size=None,
        sampler=wanted,
        num_workers=images.workers,
        pin_memory=pinned,
        worker_init_fn=_leave_stopping_to_the_parent,
        generator=torch.Generator(),  # its own, so that reading draws nothing from torch's global one
    )
    reads = _reads(loader)
    _open.add(reads)
    return reads


def _reads(loader: DataLoader[Labelled | ValueError]) -> Generator[Labelled, None, None]:
    try:
        for read in loader:
            if isinstance(read, ValueError):
                raise read
            yield read
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker (pid" not in str(error):
            raise
        reason = str(error).partition("\n")[0].strip() or type(error).__name__
        raise ChildProcessError(  # an OSError, which the command line shows in one line
            f"a process that reads images died ({reason}), perhaps for want of memory; set data.workers=0 to do without"
        ) from error


class _Reader(Dataset["Labelled | ValueError"]):
    """Reads lists of indices. A user's error is handed over as a value: raised, torch would bury it in a traceback."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __getitem__(self, indices: Wanted) -> Labelled | ValueError:
        try:
            return self.images.read(indices)
        except ValueError as error:
            return error


def _leave_stopping_to_the_parent(worker: int) -> None:
    """Ctrl-C or a scheduler signals every process of a job. Readers that died of it would kill the run that saves."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


_open: weakref.WeakSet[Generator[Labelled, None, None]] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Ends the readers when Python ends, which else would send them SIGTERM and wait for ever."""
    for reads in list(_open):
        reads.close()
