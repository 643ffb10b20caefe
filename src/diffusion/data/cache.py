"""Where packed images are kept, and when they are packed anew."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import PIL
from tqdm import tqdm

from diffusion.data.packing import Packed, open_packed, write_packed

if TYPE_CHECKING:
    from diffusion.data.folder import ImageFolder

log = logging.getLogger(__name__)

FORMAT = 1
MOST_TRIED = 20
NO_FOLDERS = ("", "true", "false", "none", "null", "on")


def load_or_pack(images: ImageFolder, cache: str) -> Packed | None:
    """The images packed in the folder `cache`, made there by one process while others wait; None where they cannot be.

    Each folder of images has one file for each size, which is replaced when the images have changed. One that is
    damaged is replaced too. What hinders keeping them is said in a line, and the images can still be decoded.
    """
    folder = Path(cache_folder(cache))
    path = folder / file_name(images.root, images.shape)
    key = content_key(images)
    try:
        # First without the lock: a cache that others have filled may well be read-only.
        if (found := load_if_current(path, images, key)) is not None:
            return found
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path):
            if (found := load_if_current(path, images, key, warn=True)) is not None:
                return found
            size, free = math.prod((len(images), *images.shape)), shutil.disk_usage(folder).free
            if size > free / 2:
                log.warning(
                    "Not packing the images: they take %s, more than half of the %s free in %s. They are decoded each "
                    "time; give data.cache=PATH on a larger disk", human_bytes(size), human_bytes(free), folder,
                )  # fmt: skip
                return None
            pack(path, images, key)
            return open_packed(path, (len(images), *images.shape))
    except ChildProcessError:
        raise
    except OSError as error:
        log.warning(
            "Cannot keep packed images in %s (%s). They are decoded each time; give data.cache=PATH elsewhere, or "
            "data.cache=off", folder, error.strerror or error,
        )  # fmt: skip
        return None


def pack(path: Path, images: ImageFolder, key: str) -> None:
    """Packs all images, with a bar on a terminal and a line before and after."""
    size, begun = math.prod((len(images), *images.shape)), perf_counter()
    log.info("Packing the %s images of %s into %s (%s)", f"{len(images):,}", images.root, path, human_bytes(size))

    def facts() -> dict[str, object]:
        bad = [images.files[i] for i in images.unreadable.nonzero().flatten().tolist()]
        return {"key": key, "root": images.root, "shape": list(images.shape), "unreadable": bad}

    workers = max(images.workers, available_cores()) if images.workers else 0
    with tqdm(total=len(images), desc="packing", unit=" images", disable=None, leave=False) as bar:
        write_packed(path, images, workers=workers, told=bar.update, facts=facts)
    log.info("Packed in %.0f s", perf_counter() - begun)


def load_if_current(path: Path, images: ImageFolder, key: str, *, warn: bool = False) -> Packed | None:
    """What is packed in `path` if it is whole and these images, else None; `warn` says what is wrong."""
    try:
        return open_packed(path, (len(images), *images.shape), lambda facts: mismatch(facts, images, key))
    except FileNotFoundError:
        return None
    except ValueError as error:
        if warn:
            log.warning("Packing the images again: %s", error)
        return None


def mismatch(facts: dict[str, Any], images: ImageFolder, key: str) -> str:
    """Why images packed with these facts will not do; "" if they will."""
    if facts.get("key") != key:
        return "the images have changed since"
    bad = facts.get("unreadable")
    if not isinstance(bad, list) or not set(bad) < set(images.files):
        return "their description is damaged"
    # A disk or a network that failed for a moment, or a missing right, must not cost an image for ever.
    if healed := next((file for file in bad[:MOST_TRIED] if images.can_read(file)), None):
        return f"{healed}, which could not be read, now can"
    return ""


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """One process at a time for `path`. The system lets go of the lock of a process that dies."""
    with open(path.with_suffix(".lock"), "a") as file:
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


def content_key(images: ImageFolder) -> str:
    """A hash of all that decides the pixels: each file's name, length and time, the shape, and what decodes them.

    Classes do not come in: they are read off the names, and the same pixels serve every choice of `data.labels`.
    """
    key = hashlib.blake2b(repr((FORMAT, PIL.__version__, images.shape)).encode(), digest_size=16)
    for file in images.files:
        try:
            now = os.stat(os.path.join(images.root, file))
            key.update(os.fsencode(f"{file}\0{now.st_size}\0{now.st_mtime_ns}\0"))
        except OSError:  # such as a link to nothing, which reading will name
            key.update(os.fsencode(f"{file}\0?\0"))
    return key.hexdigest()


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def human_bytes(size: int) -> str:
    """A number of bytes as people say it: "153 MB"."""
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
