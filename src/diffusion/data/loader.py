"""Endless batches for training."""

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.compute.device import to_device
from diffusion.data import readers, stream
from diffusion.data.conditions import BY_LABEL, Conditions, arguments, available
from diffusion.data.images import Images
from diffusion.pictures.pixels import from_uint8


class Batch(NamedTuple):
    """What one process trains on in one step."""

    x_0: Tensor
    """(N, C, H, W) in [-1, 1]"""
    condition: dict[str, Tensor]
    """What the network is told beside the time, by the names of its arguments, each (N, ...)"""
    positions: Tensor
    """int64 (N,), on the CPU: the images' running numbers since training began"""


def batches(
    images: Images,
    conditions: Conditions = BY_LABEL,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Batch, None, None]:
    """The batches of the steps start, start + 1, ...; `close()` ends the processes that read.

    They end where `stop()` while images are waited for.

    Beside the images they hold what the `conditions` tell of them. `batch_size` counts the images of all `world`
    processes; the one of number `rank` gets its slice of them. A batch depends on `seed` and its step alone.
    ValueError when the images do not fill a batch, or `world` does not divide it.
    """
    check_shares(len(images), batch_size, world)
    device, told = torch.device(device), available(conditions, images.classes)

    def positions(step: int) -> range:
        first = step * batch_size + rank * (batch_size // world)
        return range(first, first + batch_size // world)

    def read() -> Generator[Batch, None, None]:
        wanted = (stream.indices(positions(step), length=len(images), seed=seed).tolist() for step in count(start))
        images.prepare()
        with closing(readers.in_order(images, wanted, device=device, stop=stop)) as reads:
            for step, (pixels, labels) in enumerate(reads, start):
                where = positions(step)
                x_0 = as_shown(pixels.to(device, non_blocking=True), where, images, seed=seed)
                condition = arguments(told, x_0, labels.to(device, non_blocking=True))
                yield Batch(x_0, condition, torch.arange(where.start, where.stop))

    return read()


def as_shown(pixels: Tensor, positions: range, images: Images, *, seed: int) -> Tensor:
    """The images at these positions of training in [-1, 1], about half of them mirrored where the set flips."""
    if images.flip:
        mirrored = to_device(stream.mirrored(positions, length=len(images), seed=seed), pixels.device)
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
    return from_uint8(pixels)


def check_shares(num_images: int, batch_size: int, world: int) -> None:
    """Raise ValueError unless the images fill a batch, of which each of `world` processes gets as many."""
    if batch_size < 1 or batch_size % world:
        fitting = max(batch_size // world, 1) * world
        raise ValueError(f"{world} processes cannot share {batch_size} images evenly; set train.batch_size={fitting}")
    if num_images < batch_size:
        raise ValueError(
            f"{num_images} images do not fill a batch of {batch_size}; set train.batch_size={num_images} or less"
        )
