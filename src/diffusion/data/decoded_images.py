"""Images that are decoded one by one, or once and for all into a packed file."""

import logging
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from diffusion.data.cache import ImageFiles, check_cache, load_or_pack
from diffusion.data.images import LabelledPixels, take_rows
from diffusion.data.preparation import why_unreadable

log = logging.getLogger(__name__)

MOST_WORKERS = 256


class DecodedImages(ImageFiles):
    """Images of `files`, which are decoded when they are read; `prepare` packs them.

    A subclass sets `root`, `files`, `shape`, `labels` (N,), `classes`. `on_error` says what an unreadable image does:
    "raise", or "skip", which puts the next readable one in its place.
    """

    labels: Tensor

    def __init__(self, *, on_error: str, flip: bool, workers: int, cache: str) -> None:
        check_cache(cache)
        if not 0 <= workers <= MOST_WORKERS:
            raise ValueError(f"data.workers={workers} must lie between 0 and {MOST_WORKERS}; set data.workers=2")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"there is no on_error {on_error!r}; set data.on_error to raise or skip")
        self.on_error, self.flip, self.workers, self.cache = on_error, flip, workers, cache
        self.pixels: Tensor | None = None
        # Shared between the processes that read, so that an unreadable file is tried and named once.
        self.unreadable = torch.zeros(len(self.files), dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        return len(self.files)

    def prepare(self) -> None:
        """Pack the images, or find them packed: then a batch is one indexing operation, and no process decodes."""
        if self.cache == "off" or self.pixels is not None:
            return
        found = load_or_pack(self, self.cache)
        if found is None:
            self.cache = "off"  # said once
            return
        self._leave_out(found.unreadable)
        self.pixels, self.workers = found.pixels, 0

    def _leave_out(self, files: list[str]) -> None:
        """Treat `files` as what they were when the others were packed: unreadable, the next one in their place."""
        if not files:
            return
        if self.on_error == "raise":
            raise unreadable_error(self.place(files[0]), "as it was when the images were packed")
        names = ", ".join(files[:10]) + (f" and {len(files) - 10} more" if len(files) > 10 else "")
        log.warning("%d of %d images cannot be read and are left out: %s", len(files), len(self), names)
        bad = set(files)
        self.unreadable[:] = torch.tensor([file in bad for file in self.files])
        readable = (~self.unreadable).nonzero().flatten()
        self.labels = self.labels[readable[torch.searchsorted(readable, torch.arange(len(self))) % len(readable)]]

    def read(self, indices: Sequence[int]) -> LabelledPixels:
        return super().read(indices) if self.pixels is None else take_rows(self.pixels, self.labels, indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        first = range(len(self))[index]
        if self.pixels is not None:
            return self.pixels[first].clone(), int(self.labels[first])
        for at in chain(range(first, len(self)), range(first)):
            if self.unreadable[at]:
                continue
            try:
                return self.decoded(self.files[at]), int(self.labels[at])
            except Exception as error:
                place = self.place(self.files[at])
                if self.on_error == "raise":
                    raise unreadable_error(place, why_unreadable(error)) from error
                self.unreadable[at] = True
                log.warning("skipping %s: %s", place, why_unreadable(error))
        raise ValueError(f"none of the {len(self)} images in {self.root} can be read; give others")


def unreadable_error(place: str, why: str) -> ValueError:
    """What to say of an image that cannot be read."""
    return ValueError(f"cannot read {place} ({why}); set data.on_error=skip to go on without it")
