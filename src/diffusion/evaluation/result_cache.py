"""A cache of arrays in files: what takes long to compute is computed once for all evaluations."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.compute import distributed
from diffusion.runs.small_files import regular

Arrays = dict[str, Any]

FINGERPRINT = "fingerprint"  # of the others in a file
FOLDER = "~/.cache/hydra-diffusion"


@cache
def print_first_time(text: str) -> None:
    """Print `text` once per process, however often a training measures."""
    distributed.print_once(text)


def cached(path: Path, compute: Callable[[], Arrays], *, what: str, computing: str) -> Arrays:
    """What the file holds, or else `compute()`, kept in it; all processes must call it, the leader gets the arrays."""
    known = load_arrays(path) if distributed.is_leader() else None
    if distributed.all_gather(known is not None)[0]:
        print_first_time(f"Using the {what} in {path}")
        return known or {}
    print_first_time(f"{computing}, kept in {path}")
    arrays = compute()
    if distributed.is_leader():
        save_arrays(path, arrays)
    return arrays


def load_arrays(path: Path) -> Arrays | None:
    """The arrays in the file; None if there is none, or after a line of output if it is damaged."""
    try:
        with open(path, "rb", opener=regular) as file:
            arrays = dict(np.load(file))
        if str(arrays.pop(FINGERPRINT)) == fingerprint(*arrays, *arrays.values()):
            return arrays
    except FileNotFoundError:
        return None
    except Exception:  # What is no file of arrays can make numpy raise anything.
        pass
    print_first_time(f"{path} is damaged and computed again")
    return None


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write the file in one step. If that fails, a line of output says that it is computed again next time."""
    own = path.with_name(f"{os.getpid()}_{path.name}")  # Two runs may write it at once.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(own, **{**arrays, FINGERPRINT: fingerprint(*arrays, *arrays.values())})
        os.replace(own, path)
    except OSError as error:
        print_first_time(f"{path} cannot be written ({error.strerror}); what it would hold is computed again next time")
    finally:
        if own.is_file():
            own.unlink()


def fingerprint(*parts: object) -> str:
    """16 letters that depend on every part: arrays by their bytes, all else by how it is written."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        written = (str(part.shape).encode(), part.tobytes()) if isinstance(part, np.ndarray) else (repr(part).encode(),)
        for text in written:
            digest.update(text)
    return digest.hexdigest()
