"""Atomic writes, and locks on folders."""

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` once it is on the disk; an old file stays if that fails.

    What the system refuses is an OSError that names `path`.
    """
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        with name_in_errors(path, also=partial):
            partial.unlink(missing_ok=True)  # what is there may be a pipe, or a link to a file of the user's
            yield partial
            sync(partial)
            os.replace(partial, path)
            sync(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def name_in_errors(path: Path, also: Path | None = None) -> Iterator[None]:
    """Have what the system refuses, whichever library says it, raised as an OSError that names `path`.

    One that names another file than `also` stays as it is.
    """
    try:
        yield
    except Exception as error:
        cause = system_error(error)
        if cause is None or cause.filename not in (None, str(path), str(also)):
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error


def system_error(error: BaseException) -> OSError | None:
    """What the system said: the error itself, the one that torch hides behind its own, or what safetensors quotes."""
    for each in (error, error.__context__):
        if isinstance(each, OSError) and each.errno is not None:
            return each
    quoted = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(quoted[1]), os.strerror(int(quoted[1]))) if quoted else None


def atomic_write_text(path: Path, text: str) -> None:
    """`atomic_write` of a text."""
    with atomic_write(path) as partial:
        partial.write_text(text)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, so that they outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def make_folder(folder: Path) -> Iterator[None]:
    """Make `folder` at the start, so that a place that cannot be written is noticed before hours of work.

    Folders made here that are empty at the end are removed.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for place in new:
                place.rmdir()


@contextmanager
def watch_folder(folder: Path) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether `folder`, which is made if there is none, was removed or moved since."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)

    def is_gone() -> bool:
        try:
            return not os.path.samestat(os.fstat(handle), os.stat(folder))
        except FileNotFoundError:
            return True
        except OSError:  # A disk that does not answer for a moment has lost nothing.
            return False

    try:
        yield is_gone
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, whose files take their places in `folder` at the end; nothing is left there if that fails.

    Other files of an old folder stay, and what lies deeper comes first.
    """
    with make_folder(folder), TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        partial = Path(name)
        yield partial
        files = [path for path in sorted(partial.rglob("*"), key=lambda path: -len(path.parts)) if path.is_file()]
        for path in files:
            sync(path)
        for path in files:
            place = folder / path.relative_to(partial)
            place.parent.mkdir(exist_ok=True, parents=True)
            os.replace(path, place)


_locks: set[int] = set()  # the open handles of the folders that this process has locked


def release_locks() -> None:
    while _locks:
        os.close(_locks.pop())


@cache
def release_in_children() -> None:
    """Have processes that are forked from now on, such as readers of images, let go: a lock ends with its owner."""
    os.register_at_fork(after_in_child=release_locks)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on `folder`; the kernel drops it when the process dies. ValueError if another holds it."""
    release_in_children()
    handle = open_locked(folder)
    _locks.add(handle)
    try:
        yield
    finally:
        _locks.discard(handle)
        os.close(handle)


def open_locked(folder: Path) -> int:
    """A handle of `folder`, made if there is none, that holds the lock on it. ValueError if another holds it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # Another process has just removed it.
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise ValueError(
                f"another process is training in {folder}; wait for it, or give this run another name=..."
            ) from None
        except FileNotFoundError:
            pass
        os.close(handle)  # What is locked was removed meanwhile, and the folder of now is another.


def remove_if_empty(folder: Path, logs: Sequence[Path] = ()) -> None:
    """Remove `folder` if it holds nothing but its own `logs`, and no process is about to train in it."""
    with suppress(ValueError, OSError):
        if folder.exists():
            with lock_folder(folder):
                if [*folder.iterdir()] == [*logs]:
                    for log in logs:
                        log.unlink()
                folder.rmdir()
