"""Images in a folder of one's own."""

import logging
import os
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
import torch

from diffusion.data.decoded_images import DecodedImages
from diffusion.data.images import UNLABELLED
from diffusion.data.preparation import require_channels, require_sides
from diffusion.runs.printable import printable

log = logging.getLogger(__name__)

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageFolder(DecodedImages):
    """Every image below `root`, at any depth, in the order of its path.

    `labels` names the class: "none", "folder" (the first folder below `root`) or "prefix" (the file's name up to the
    first "_", the original's way). `on_error` says what an unreadable file does: "raise", or "skip", which puts the
    next readable image in its place.

    `cache` is the folder in which they are kept decoded, cropped and scaled, as far as its disk has room: "auto" is the
    user's (~/.cache/hydra-diffusion), "off" decodes them each time. It needs no care: what has changed or was damaged
    is packed anew. `workers` processes decode.
    """

    runs_no_code = True

    def __init__(
        self,
        *,
        root: str,
        image_size: int = 64,
        width: int | None = None,
        channels: int = 3,
        labels: str = "none",
        on_error: str = "raise",
        flip: bool = False,
        workers: int = 2,
        cache: str = "auto",
    ) -> None:
        require_channels(channels)
        require_sides(image_size=image_size, width=width)
        if labels not in ("none", "folder", "prefix"):
            raise ValueError(f"there are no labels {labels!r}; set data.labels to none, folder or prefix")
        self.root = os.path.abspath(os.path.expanduser(root))
        self.settings = {
            "root": self.root, "image_size": image_size, "width": width, "channels": channels, "labels": labels,
            "on_error": on_error, "flip": flip, "workers": workers, "cache": cache,
        }  # fmt: skip
        self.files = image_files(self.root)
        super().__init__(on_error=on_error, flip=flip, workers=workers, cache=cache)
        self.shape = channels, image_size, width or image_size
        self.classes, self.labels = None, torch.full((len(self.files),), UNLABELLED)
        if labels != "none":
            of_files = [class_name(file, labels, self.root) for file in self.files]
            names, numbers = np.unique(of_files, return_inverse=True)
            self.classes, self.labels = tuple(names.tolist()), torch.from_numpy(numbers)


def image_files(root: str) -> list[str]:
    """What is called an image below `root`, as sorted paths relative to it; hidden files and folders are left out.

    Links to folders elsewhere are followed. Each folder is looked into once: where it lies rather than through a link,
    and none through a link that leads to `root` or above it.
    """
    if not os.path.isdir(root):
        raise ValueError(f"there is no folder {root}; set data.root to the folder of the images")
    files, here, linked = [], [""], list[str]()
    seen = {place_on_disk(str(above)) for above in Path(root).resolve().parents}
    while here or linked:
        folder = here.pop() if here else heappop(linked)
        try:
            if (place := place_on_disk(os.path.join(root, folder))) in seen:
                continue
            seen.add(place)
            with os.scandir(os.path.join(root, folder)) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            log.warning("%s cannot be looked into and is left out: %s", os.path.join(root, folder), error.strerror)
            continue
        for entry in visible:
            name = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                here.append(name)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                heappush(linked, name)
            elif name.lower().endswith(EXTENSIONS):
                files.append(name)
    if not files:
        raise ValueError(f"there are no images ({' '.join(EXTENSIONS)}) in {root}; set data.root to another folder")
    return sorted(files)


def place_on_disk(path: str) -> tuple[int, int]:
    """What tells one folder from another, however one gets there."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def class_name(file: str, labels: str, root: str) -> str:
    """The first folder on the way from `root` to `file`, or the file's name up to the first "_"."""
    path, mark, lacking = file, os.sep, "every image in a sub-folder"
    if labels == "prefix":
        path, mark, lacking = os.path.basename(file), "_", 'a "_" after the class in the name of every image'
    name, found, _ = path.partition(mark)
    if not found:
        raise ValueError(
            f"data.labels={labels} needs {lacking}, and {file} in {root} has none; set data.labels=none or another of "
            "folder and prefix"
        )
    return printable(name)
