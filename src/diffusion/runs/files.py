"""Files and folders that are whole, or as they were before."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` once all is written; the old file stays if that fails."""
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def make_folder(folder: Path) -> Iterator[None]:
    """Makes `folder` and those above it first, so that a place that cannot be written is noticed before hours of work.

    Those that it made and that stay empty go again.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for place in new:
                place.rmdir()


_held: set[int] = set()  # the handles of the folders that this process keeps to itself


def _let_go() -> None:
    """A process that was forked, to read images, must not keep a folder once the one that forked it is killed."""
    for handle in _held:
        os.close(handle)
    _held.clear()


@cache
def release_in_children() -> None:
    """Have processes that are forked from now on let go of the folders."""
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keeps a folder to this process, even past `kill -9` no longer than it lives. ValueError if another has it."""
    folder.mkdir(parents=True, exist_ok=True)
    release_in_children()
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(
            f"another process is training in {folder}; wait for it, or give this run another name=..."
        ) from None
    _held.add(handle)
    try:
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def atomic_write_text(path: Path, text: str) -> None:
    """Writes a whole file or, if that fails half-way, leaves the old one as it was."""
    fresh = path.with_name(path.name + ".tmp")
    try:
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
