"""Reads images ahead of their use: in a thread, and in processes that replace each other when one dies."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import signal
import sys
import traceback
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Lock

import torch

from diffusion.data.images import Images, LabelledPixels

log = logging.getLogger(__name__)

AHEAD = 2  # lists that the thread reads before they are asked for
LISTS_EACH = 2  # one that a process reads and one that waits for it
MOST_DEATHS = 3
# A forked process has the images at once; elsewhere than on Linux, libraries do not bear a fork.
PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else None)


_open: weakref.WeakSet[Generator[LabelledPixels, None, None]] = weakref.WeakSet()


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
    close_at_exit(reads)
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


def close_at_exit(reads: Generator[LabelledPixels, None, None]) -> None:
    """End the processes of `reads` when Python ends, which else would send them SIGTERM and wait for ever."""
    atexit.unregister(_close_all)
    atexit.register(_close_all)
    _open.add(reads)


def _close_all() -> None:
    for reads in list(_open):
        reads.close()


class Readers(Iterator[LabelledPixels]):
    """The images at each list of indices, the lists read by `count` processes in turn; `close()` ends them.

    Each process has a line of its own to this one and shares no lock with the others. So the death of one (the kernel
    kills the largest when memory runs out) is seen as the end of its line, and another reads what it still owed.
    """

    def __init__(self, images: Images, wanted: Iterable[list[int]], count: int) -> None:
        self.wanted = iter(wanted)
        self.readers: list[_Reader] = []
        self.turns: deque[_Reader] = deque()
        try:
            self.readers += (_Reader(images) for _ in range(count))
            for reader in self.readers * LISTS_EACH:
                self._hand(reader)
        except BaseException:
            self.close()
            raise

    def __next__(self) -> LabelledPixels:
        if not self.turns:
            raise StopIteration
        reader = self.turns.popleft()
        read = reader.take()
        self._hand(reader)
        return read

    def _hand(self, reader: _Reader) -> None:
        for indices in self.wanted:
            reader.give(indices)
            self.turns.append(reader)
            break

    def close(self) -> None:
        """End the processes, also while another thread waits for one of them."""
        for reader in self.readers:
            reader.end()


class _Reader:
    """One place among the readers: the process that holds it, and the lists of indices that it was given."""

    def __init__(self, images: Images) -> None:
        self.images, self.owed, self.deaths = images, deque[list[int]](), 0
        self.ended, self.changing = False, Lock()
        self._start()

    def _start(self) -> None:
        self.line, there = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=_serve, args=(self.images, self.line, there), daemon=True)
        self.process.start()
        there.close()

    def give(self, indices: list[int]) -> None:
        self.owed.append(indices)
        with suppress(OSError):  # its process died: take() gives all that is owed to the next one
            self.line.send(indices)

    def take(self) -> LabelledPixels:
        """What was read for the oldest list. ValueError, OSError: what the reader met instead."""
        while True:
            try:
                answer = self.line.recv()
                break
            except (EOFError, OSError):
                self._replace()
        self.owed.popleft()
        self.deaths = 0
        if isinstance(answer, Exception):
            raise answer
        return LabelledPixels(*map(torch.from_numpy, answer))

    def _replace(self) -> None:
        with self.changing:
            if self.ended:
                raise ChildProcessError("the processes that read images were ended")
            self.process.kill()
            self.process.join()
            self.line.close()
            self.deaths += 1
            reason = exit_reason(self.process.exitcode)
            if self.deaths == MOST_DEATHS:
                raise ChildProcessError(  # an OSError, which the command line shows in one line
                    f"a process that reads images died {self.deaths} times in a row ({reason}), perhaps for want of "
                    "memory; set data.workers=0 to do without"
                )
            log.warning("A process that reads images died (%s); another takes its place", reason)
            self._start()
            for indices in self.owed:
                with suppress(OSError):
                    self.line.send(indices)

    def end(self) -> None:
        with self.changing:
            self.ended = True
            self.process.kill()
            self.process.join()


def exit_reason(code: int | None) -> str:
    """What ended a process, in a word or two: "SIGKILL", "exit code 1"."""
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def _serve(images: Images, parents: Connection, line: Connection) -> None:
    """Reads what `line` asks for until its other end is closed, which also a parent's sudden death does."""
    parents.close()
    # Ctrl-C or a scheduler signals every process of a job; the one that saves needs its readers until it has saved.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)  # the threads that torch had in the parent are not here
    with suppress(EOFError, OSError):
        while True:
            line.send(_answer(images, line.recv()))


def _answer(images: Images, indices: list[int]) -> object:
    """Pixels and labels as arrays, or the user's error as it was raised, or a bug with its traceback as the words."""
    try:
        pixels, labels = images.read(indices)
        return pixels.numpy(), labels.numpy()
    except (ValueError, OSError) as error:
        return error
    except Exception:
        return RuntimeError(traceback.format_exc())
