"""Images drawn by a trained model, as files: a grid to look at, the images, and an npz to compute with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffusion.data import grid, save_picture, to_uint8
from diffusion.samplers import Sampler, draw
from diffusion.trained import Trained


class Request(NamedTuple):
    """Images 0 .. num_images - 1 of a seed, `batch_size` at a time; image i shows class labels[i % len(labels)]."""

    num_images: int
    batch_size: int
    seed: int
    labels: list[int] | None

    def check(self) -> None:
        for name, value in (("num_images", self.num_images), ("batch_size", self.batch_size)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")

    def label(self, number: int) -> int:
        assert self.labels is not None
        return self.labels[number % len(self.labels)]

    def columns(self) -> int:
        """A column a class, or several columns a class if there are few; without classes a square."""
        count = len(self.labels or [])
        if not 0 < count <= 16:
            return math.ceil(math.sqrt(self.num_images))
        return count * max(1, 10 // count)


def drawn(request: Request, model: Trained, sampler: Sampler) -> Iterator[Tensor]:
    """Batches of the images asked for, (N, C, H, W) near [-1, 1]: each the same whatever the batch size."""
    for first in range(0, request.num_images, request.batch_size):
        numbers = range(first, min(first + request.batch_size, request.num_images))
        condition = {}
        if request.labels is not None:
            condition["y"] = torch.tensor([request.label(n) for n in numbers], device=model.device)
        yield draw(
            sampler, model.diffusion, model.network, numbers,
            shape=model.shape, seed=request.seed, device=model.device, condition=condition,
        )  # fmt: skip


def write(request: Request, model: Trained, sampler: Sampler, folder: Path) -> None:
    """Draw the images into `folder`: grid.png, images/00000.png and so on, and samples.npz.

    The npz holds arr_0, uint8 (N, H, W, C), and for a class-conditional model arr_1, the labels (N,).
    """
    request.check()
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for old in images.glob("[0-9]" * 5 + ".png"):
        old.unlink()
    batches = []
    with tqdm(total=request.num_images, unit="image", disable=None) as bar:
        for batch in drawn(request, model, sampler):
            batches.append(batch.cpu())
            bar.update(len(batch))
    x = torch.cat(batches)
    pixels = to_uint8(x).permute(0, 2, 3, 1).numpy()
    for number, image in enumerate(pixels):
        save_picture(images / f"{number:05d}.png", image)
    save_picture(folder / "grid.png", grid(x[:400], columns=request.columns()))
    labels = {} if request.labels is None else {"arr_1": np.array([request.label(n) for n in range(len(x))])}
    np.savez(folder / "samples.npz", arr_0=pixels, **labels)


def folder_name(request: Request, model: Trained, sampler: Sampler, asked: Sequence[str | int] | str | int | None) -> str:
    """Says how images were drawn, so that drawing them otherwise does not overwrite them."""
    parts = [type(sampler).__name__.lower(), str(sampler.steps or "all"), model.weights, f"step_{model.step}"]
    parts += [f"seed_{request.seed}"] if request.seed else []
    parts += [f"labels_{asked}"] if asked not in (None, "all") else []
    return "_".join(parts).replace(" ", "").replace("/", "-")
