"""The file of packed images, their pixels one after the other: where it lies, and when it is written anew.

Beside it a description in JSON, written last, holds a key to what was packed, the names of the files that could not be
read, and the checksum of each piece.
"""

import fcntl
import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from zlib import crc32

import numpy as np
import PIL
import torch
from torch import Tensor
from tqdm import tqdm

from diffusion.compute.progress import Progress
from diffusion.data import readers
from diffusion.data.images import Images
from diffusion.data.preparation import read_image
from diffusion.runs.files import atomic_write, atomic_write_text
from diffusion.runs.small_files import load_plain, regular

log = logging.getLogger(__name__)

FORMAT = 1
PIECE_BYTES = 2**20
PIECES_CHECKED = 256  # a second's work
MOST_DESCRIPTION_BYTES = 2**23  # that of 700 GB of pixels
MOST_TRIED = 20
NO_FOLDERS = ("", "true", "false", "none", "null", "on")


class ImageFiles(Images):
    """Images that lie in one file each, and can be packed: `files` are their names, relative to `root`."""

    root: str
    files: list[str]
    unreadable: Tensor
    """bool (N,): what could not be read so far"""

    def place(self, file: str) -> str:
        """Where an image lies, for people."""
        return os.path.join(self.root, file)

    def content(self) -> Iterator[str]:
        """What tells whether the images are still the same: of each file its name, length and time."""
        for file in self.files:
            try:
                now = os.stat(self.place(file))
                yield f"{file}\0{now.st_size}\0{now.st_mtime_ns}\0"
            except OSError:  # such as a link to nothing, which reading will name
                yield f"{file}\0?\0"

    def decoded(self, file: str) -> Tensor:
        channels, height, width = self.shape
        return read_image(self.place(file), channels=channels, height=height, width=width)

    def can_read(self, file: str) -> bool:
        try:
            self.decoded(file)
        except Exception:  # Pillow's readers raise OSError, SyntaxError, struct.error, zlib.error, ...
            return False
        return True


class Packed(NamedTuple):
    """Images as they lie in a file, of which the system keeps in memory what fits."""

    pixels: Tensor
    """uint8 (N, C, H, W), mapped"""
    unreadable: list[str]
    """The files that could not be read when they were packed"""


def load_or_pack(images: ImageFiles, cache: str) -> Packed | None:
    """The images packed in the folder `cache`, made there by one process while others wait; None where they cannot be.

    Each folder of images has one file for each size, which is replaced when the images have changed. One that is
    damaged is replaced too. What hinders keeping them is said in a line, and the images can still be decoded.
    """
    folder = Path(cache_folder(cache))
    path = folder / file_name(images.root, images.shape)
    key = content_key(images)
    try:
        with suppress(FileNotFoundError, ValueError):
            return open_packed(path, images, key)  # without the lock: a cache filled by others may well be read-only
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path):
            try:
                return open_packed(path, images, key)
            except FileNotFoundError:
                pass
            except ValueError as error:
                log.warning("Packing the images again: %s", error)
            needed, free = packed_bytes(images), shutil.disk_usage(folder).free
            if needed > free / 2:
                size, room = (tqdm.format_sizeof(count, "B") for count in (needed, free))
                log.warning(
                    "Not packing the images: they take %s, more than half of the %s free in %s. They are decoded each "
                    "time; give data.cache=PATH on a larger disk", size, room, folder,
                )  # fmt: skip
                return None
            pack(path, images, key)
            return open_packed(path, images, key)
    except ChildProcessError:
        raise
    except OSError as error:
        log.warning(
            "Cannot keep packed images in %s (%s). They are decoded each time; give data.cache=PATH elsewhere, or "
            "data.cache=off", error.filename or folder, error.strerror or error,
        )  # fmt: skip
        return None


def pack(path: Path, images: ImageFiles, key: str) -> None:
    """Pack all images into `path`, whole or not at all, and log where they lie."""
    begun = perf_counter()
    workers = max(images.workers, available_cores()) if images.workers else 0
    checksums = []
    with (
        closing(readers.in_order(images, map(list, pieces(images)), workers=workers)) as reads,
        Progress(f"Packing {len(images):,} images", len(images)) as progress,
        atomic_write(path) as partial,
        open(partial, "wb") as file,
    ):
        for pixels, _ in reads:
            content = pixels.contiguous().numpy().data
            checksums.append(crc32(content))
            file.write(content)
            progress.advance(len(pixels))
    unreadable = [images.files[i] for i in images.unreadable.nonzero().flatten().tolist()]
    facts = {"key": key, "root": images.root, "shape": images.shape, "unreadable": unreadable, "checksums": checksums}
    atomic_write_text(description_path(path), json.dumps(facts))
    log.info(
        "Packed the %s images of %s into %s (%s) in %.0f s", f"{len(images):,}", images.root, path,
        tqdm.format_sizeof(packed_bytes(images), "B"), perf_counter() - begun,
    )  # fmt: skip


def open_packed(path: Path, images: ImageFiles, key: str) -> Packed:
    """The images packed in `path`.

    FileNotFoundError if there are none; ValueError with the reason if they are others, or not as they were written,
    which the checksums tell of at most 256 pieces, spread over the file.
    """
    try:
        facts = load_plain(description_path(path), dict, most=MOST_DESCRIPTION_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{description_path(path)}: {error.strerror}") from None
    if facts.get("key") != key:
        raise ValueError("the images have changed since")
    parts, checksums, unreadable = pieces(images), facts.get("checksums"), facts.get("unreadable")
    if not isinstance(checksums, list) or not isinstance(unreadable, list) or len(checksums) != len(parts):
        raise ValueError(f"{description_path(path)} is damaged")
    if not {str(file) for file in unreadable} < set(images.files):
        raise ValueError(f"{description_path(path)} is damaged")
    # A disk or a network that failed for a moment, or a missing right, must not cost an image for ever.
    if healed := next((file for file in unreadable[:MOST_TRIED] if images.can_read(file)), None):
        raise ValueError(f"{healed}, which could not be read, now can")
    if path.stat().st_size != packed_bytes(images):
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes instead of {packed_bytes(images):,}")
    # Mapped "c", as if for writing, since torch warns of what it could not write to.
    pixels = np.asarray(np.memmap(path, dtype=np.uint8, mode="c", shape=(len(images), *images.shape)))
    for at in np.unique(np.linspace(0, len(parts) - 1, PIECES_CHECKED).round().astype(int)):
        if crc32(pixels[parts[at].start : parts[at].stop].data) != checksums[at]:
            raise ValueError(f"{path} is damaged at image {parts[at].start} or after")
    return Packed(torch.from_numpy(pixels), unreadable)


def packed_bytes(images: Images) -> int:
    """The size of the file."""
    return math.prod((len(images), *images.shape))


def pieces(images: Images) -> list[range]:
    """The images 0..N-1 in ranges of about a megabyte."""
    step = max(1, PIECE_BYTES // math.prod(images.shape))
    return [range(first, min(first + step, len(images))) for first in range(0, len(images), step)]


def description_path(path: Path) -> Path:
    """The file that says what is packed in `path`; written last, so that it stands for a whole one."""
    return path.with_suffix(".json")


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """One process at a time for `path`. The system lets go of the lock of a process that dies."""
    with open(path.with_suffix(".lock"), "a", opener=regular) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("Waiting for another process, which packs the same images into %s", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_cache(cache: str) -> None:
    """Raise ValueError if `cache` is a word for yes or no, which YAML makes of an unquoted off."""
    if cache.lower() in NO_FOLDERS:
        raise ValueError(f"data.cache={cache} is no folder; set data.cache to auto, a path, or off ('off' in a file)")


def cache_folder(cache: str) -> str:
    """The folder that `cache` names; "auto" is this user's."""
    if cache != "auto":
        return os.path.abspath(os.path.expanduser(cache))
    users = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(users, "hydra-diffusion")


def file_name(root: str, shape: tuple[int, int, int]) -> str:
    """The name of the file for the images of `root` at `shape`: photos-3x64x64-9f02cbd2.pixels."""
    size = "x".join(map(str, shape))
    plain = re.sub(r"[^\w-]+", "-", os.path.basename(root), flags=re.ASCII).strip("-")[:50] or "images"
    return f"{plain}-{size}-{hashlib.blake2b(os.fsencode(f'{root} {size}'), digest_size=4).hexdigest()}.pixels"


def content_key(images: ImageFiles) -> str:
    """A hash of all that decides the pixels: what is in the files, the shape, and what decodes them.

    Classes do not come in: they are read off the names, and the same pixels serve every choice of `data.labels`.
    """
    key = hashlib.blake2b(repr((FORMAT, PIL.__version__, images.shape)).encode(), digest_size=16)
    for text in images.content():
        key.update(os.fsencode(text))
    return key.hexdigest()


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
