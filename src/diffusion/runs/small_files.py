"""Small files of a run folder or a cache, which a power cut may have torn and anyone may have written.

Nothing in them is trusted: not that they are files, not how long they are, not how deep they are nested.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

import yaml

from diffusion.runs.state import PLAIN, is_tree

Plain = TypeVar("Plain", dict, list)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times as fast
MOST_BYTES = 2**22
MOST_EVENTS = 2**18  # of a YAML file, which takes a second
MOST_DIGITS = 1000
MOST_VALUES = 2_000_000


def regular(path: str, flags: int) -> int:
    """An opener for `open`: the handle of a regular file. OSError if what lies there is none.

    A pipe would let its reader wait for ever, a device need not end, and some act when they are opened at all.
    """
    with suppress(FileNotFoundError):
        require_regular(path, os.stat(path))
    handle = os.open(path, flags | os.O_NONBLOCK, 0o666)
    try:
        require_regular(path, os.fstat(handle))  # Another may have come to lie there.
    except OSError:
        os.close(handle)
        raise
    return handle


def require_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


@contextmanager
def open_regular(path: str | Path, most: int | None = None) -> Iterator[BufferedReader]:
    """The regular file `path`, open for reading; OSError if it is none, or longer than `most` bytes."""
    with open(path, "rb", opener=regular) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise too_large(path)
        yield file


def too_large(path: str | Path) -> OSError:
    return OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """What a regular file holds; OSError if it is none, or longer than `most` bytes."""
    with open_regular(path, most) as file:
        content = file.read(most + 1) or b""  # None of what has nothing to say yet
    if len(content) > most:  # as files of the system's own may be, whatever their length is said to be
        raise too_large(path)
    return content


def load_plain(path: Path, kind: type[Plain], *, most: int = MOST_BYTES) -> Plain:
    """What a YAML or .json file holds. OSError if it cannot be read, ValueError if it holds anything but a `kind`."""
    text = read_bytes(path, most).decode(errors="replace")
    try:
        content = json.loads(text) if path.suffix == ".json" else load_yaml(text)
    except Exception:  # What is no YAML of ours can fail in any way: RecursionError, KeyError, AttributeError, ...
        content = None
    if not isinstance(content, kind) or not is_tree(content, PLAIN, keys=(str,), most=MOST_VALUES):
        raise ValueError(f"{path} is damaged, or none of this program's")
    return content


def read_plain(path: Path, kind: type[Plain]) -> Plain:
    """`load_plain`; an empty `kind` if there is no such file, it is torn, or it holds anything else."""
    with suppress(OSError, ValueError):
        return load_plain(path, kind)
    return kind()


def load_yaml(text: str) -> Any:
    """The content of a YAML text that is written as this program does; ValueError for one that could be endless."""
    for count, event in enumerate(yaml.parse(text, Loader=LOADER)):
        refers = isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None
        # A number to the base of 60 or 16 takes minutes to read, or cannot be written again.
        digits = isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value[:1] in "+-.0123456789"
        if refers or count > MOST_EVENTS or (digits and len(event.value) > MOST_DIGITS):
            raise ValueError
    return yaml.load(text, Loader=LOADER)
