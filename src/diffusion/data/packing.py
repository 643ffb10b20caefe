"""The file of packed images: their pixels one after the other, and beside it what they are."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from diffusion.data import readers
from diffusion.data.images import Images
from diffusion.runs.files import atomic_write

PIECE_BYTES = 2**20
PIECES_CHECKED = 256


class Packed(NamedTuple):
    """Images as they lie in a file, of which the system keeps in memory what fits."""

    pixels: Tensor
    """uint8 (N, C, H, W), mapped"""
    facts: dict[str, Any]
    """What was said of them when they were written"""


def open_packed(
    path: Path, shape: tuple[int, ...], fault: Callable[[dict[str, Any]], str] = lambda facts: ""
) -> Packed:
    """The images packed in `path`, uint8 of `shape` (N, C, H, W).

    FileNotFoundError if there are none; ValueError with the reason if `fault` finds one in the facts, or if not all of
    them are as they were written. What was written is known by its checksums, of which at most 256 are compared,
    spread over the file: a second's work.
    """
    try:
        facts = json.loads(metadata_path(path).read_text())
        checksums = [int(checksum) for checksum in facts["checksums"]]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{metadata_path(path)} is damaged") from None
    if reason := fault(facts):
        raise ValueError(reason)
    if path.stat().st_size != math.prod(shape):
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes instead of {math.prod(shape):,}")
    # Mapped "c", as if for writing, since torch warns of what it could not write to.
    pixels = np.asarray(np.memmap(path, dtype=np.uint8, mode="c", shape=shape))
    ranges = chunks(shape)
    if len(checksums) != len(ranges):
        raise ValueError(f"{metadata_path(path)} is damaged")
    for at in np.unique(np.linspace(0, len(ranges) - 1, PIECES_CHECKED).round().astype(int)):
        piece = ranges[at]
        if crc32(pixels[piece.start : piece.stop].data) != checksums[at]:
            raise ValueError(f"{path} is damaged at image {piece.start} or after")
    return Packed(torch.from_numpy(pixels), facts)


def write_packed(
    path: Path, images: Images, *, workers: int, told: Callable[[int], object], facts: Callable[[], dict]
) -> None:
    """Packs `images` into `path`, read by `workers` processes: whole, or not at all.

    `told` hears how many images were added; `facts` is asked at the end what to say of them.
    """
    ranges = chunks((len(images), *images.shape))
    checksums = []
    reads = readers.in_order(images, (list(piece) for piece in ranges), workers=workers)
    with closing(reads), atomic_write(path) as partial, open(partial, "wb") as file:
        for pixels, _ in reads:
            content = pixels.contiguous().numpy().data
            checksums.append(crc32(content))
            file.write(content)
            told(len(pixels))
        fsync(file)
    with atomic_write(metadata_path(path)) as partial, open(partial, "w") as file:
        json.dump({**facts(), "checksums": checksums}, file)
        fsync(file)


def chunks(shape: tuple[int, ...]) -> list[range]:
    """The images 0..N-1 in ranges of about a megabyte."""
    number = max(1, PIECE_BYTES // math.prod(shape[1:]))
    return [range(first, min(first + number, shape[0])) for first in range(0, shape[0], number)]


def metadata_path(path: Path) -> Path:
    """The file that says what is packed in `path`; written last, so that it stands for a whole one."""
    return path.with_suffix(".json")


def fsync(file) -> None:
    """Everything written so far is on the disk."""
    file.flush()
    os.fsync(file.fileno())
