"""Arrays in an .npy or .npz file: told by their headers, and read only if they hold numbers or text, never pickle."""

import math
import os
import re
import zipfile
from collections.abc import Callable
from typing import IO, NamedTuple

import numpy as np

from diffusion.compute.memory import check_room
from diffusion.runs.printable import reason

MOST_UNPACKED = 200  # bytes for each of an .npz file: of drawn shapes it can be 120, of a bomb 1000
ONLY = "array"  # what the one array of an .npy file is called


class Header(NamedTuple):
    """What an array's header says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


class ArrayFile:
    """The arrays of a file by their names; ValueError if there is no such file, or it is damaged."""

    def __init__(self, path: str) -> None:
        if not os.path.isfile(path):
            raise ValueError(f"there is no file {path}; set data.path to an .npz or .npy file")
        self.path = path
        try:
            self._is_archive = zipfile.is_zipfile(path)
            self.headers = archive_headers(path) if self._is_archive else single_header(path)
        except PermissionError:
            raise
        except Exception as error:  # An empty, damaged or other file can make numpy and zipfile raise anything.
            raise ValueError(f"{path} is no .npz or .npy file, or is damaged ({reason(error)}); save it anew") from None

    def find(self, setting: str, wanted: str, split: str | None, fits: Callable[[Header], bool]) -> str | None:
        """The name of the array that `wanted` names, or the only one that fits if it is "auto"; None if none does.

        Of several, those count that have the word `split` in their names.
        """
        if wanted != "auto":
            if wanted not in self.headers:
                raise ValueError(f"data.{setting}={wanted} is not in {self.path}; it holds {self}")
            return wanted
        found = [name for name, header in self.headers.items() if fits(header)]
        if split is not None:
            found = [name for name in found if split in re.split("[^a-z]", name.lower())]
        if len(found) > 1:
            raise ValueError(
                f"{self.path} holds several arrays that could be the {setting}: {', '.join(found)}; name one: "
                f"data.{setting}={found[0]}, or data.split=train where the names tell"
            )
        return found[0] if found else None

    def read(self, name: str) -> np.ndarray:
        """The array, its axes in the order of the memory.

        That of an .npy file is mapped: the system reads what is looked at, and keeps in memory what fits.
        """
        header, place = self.headers[name], f"{name} in {self.path}"
        if header.dtype.hasobject:
            raise ValueError(f"{place} holds Python objects, which could run code and are not read; save plain arrays")
        if not self._is_archive:
            # Mapped "c", as if for writing, since torch warns of what it could not write to.
            array = np.asarray(np.load(self.path, mmap_mode="c"))
            if array.flags.c_contiguous:
                return array
        check_room(
            header.nbytes, place, "save the images alone with np.save, in C order, to read them as they are needed"
        )
        if not self._is_archive:
            return np.ascontiguousarray(array)
        if header.nbytes > MOST_UNPACKED * os.path.getsize(self.path):
            raise ValueError(
                f"{place} unpacks to over {MOST_UNPACKED} times its file; save it uncompressed, by np.savez"
            )
        try:
            with np.load(self.path) as stored:
                return np.ascontiguousarray(stored[name])
        except Exception as error:
            raise ValueError(f"{place} is damaged ({reason(error)}); save it anew") from None

    def __str__(self) -> str:
        """What the file holds."""
        names = [f"{name}, {header}" for name, header in self.headers.items()]
        return "; ".join(names[:10] + ["..."] * (len(names) > 10)) or "nothing"


def single_header(path: str) -> dict[str, Header]:
    with open(path, "rb") as file:
        return {ONLY: read_header(file, os.path.getsize(path))}


def archive_headers(path: str) -> dict[str, Header]:
    headers = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    headers[member.filename.removesuffix(".npy")] = read_header(file, member.file_size)
    return headers


def read_header(file: IO[bytes], size: int) -> Header:
    """The header at the beginning of a file of `size` bytes; ValueError if no array, or not it alone, follows."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    header, rest = Header(shape, dtype), size - file.tell()
    if any(type(length) is not int or length < 0 for length in shape):  # True is an int to numpy
        raise ValueError(f"{header} is no shape")
    if not dtype.hasobject and header.nbytes != rest:
        raise ValueError(f"{header} takes {header.nbytes:,} bytes, and there are {rest:,}")
    return header
