"""Images drawn by a trained model, as files: a grid to look at, the images, and an npz to compute with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffusion.data import Prompts, save_picture, to_uint8
from diffusion.labels import Labels
from diffusion.run_folder import plain, shortened
from diffusion.samplers import Sampler, draw
from diffusion.trained import Trained


class Request(NamedTuple):
    """Images 0 .. num_images - 1 of a seed, as `prompts` asks for them, `batch_size` at a time."""

    num_images: int
    batch_size: int
    seed: int
    prompts: Prompts

    def check(self) -> None:
        for name, value in (("num_images", self.num_images), ("batch_size", self.batch_size)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")


def drawn(request: Request, model: Trained, sampler: Sampler) -> Iterator[Tensor]:
    """Batches of the images asked for, (N, C, H, W) near [-1, 1]: each the same whatever the batch size."""
    for first in range(0, request.num_images, request.batch_size):
        numbers = range(first, min(first + request.batch_size, request.num_images))
        condition = request.prompts.condition(numbers, model.device)
        guidance = None if model.guide is None else model.guide.towards(condition["y"])
        if model.classes is None:
            condition.pop("y", None)  # The guide alone knows classes.
        yield draw(
            sampler, model.diffusion, model.network, numbers,
            shape=model.shape, seed=request.seed, device=model.device, condition=condition, guidance=guidance,
        )  # fmt: skip


def write(request: Request, model: Trained, sampler: Sampler, folder: Path) -> None:
    """Draw the images into `folder`: grid.png, images/00000.png and so on, and samples.npz.

    The npz holds arr_0, uint8 (N, H, W, C), and where classes were asked for arr_1, the labels (N,).
    """
    request.check()
    batches = []
    with tqdm(total=request.num_images, unit="image", disable=None) as bar:
        for batch in drawn(request, model, sampler):
            batches.append(batch.cpu())
            bar.update(len(batch))
    x = torch.cat(batches)
    pixels = to_uint8(x).permute(0, 2, 3, 1).numpy()
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for old in images.glob("[0-9]" * 5 + ".png"):
        old.unlink()
    for number, image in enumerate(pixels):
        save_picture(images / f"{number:05d}.png", image)
    save_picture(folder / "grid.png", request.prompts.picture(x[:400]))
    labels = [] if request.prompts.labels is None else [np.array(request.prompts.labels_of(range(len(x))))]
    np.savez(folder / "samples.npz", pixels, *labels)


def folder_name(request: Request, model: Trained, sampler: Sampler, *, labels: Labels, low_res: str | None) -> str:
    """Says how images were drawn, so that drawing them otherwise does not overwrite them."""
    parts = [type(sampler).__name__.lower(), str(sampler.steps or "all"), model.origin]
    parts += [f"seed_{request.seed}"] if request.seed else []
    parts += [f"labels_{labels}".replace(" ", "")] if labels not in (None, "all") else []
    parts += [f"guided_{model.guide.name}_{model.guide.scale:g}"] if model.guide is not None else []
    parts += [f"from_{shortened(plain(low_res))}"] if low_res is not None else []
    return "_".join(parts).replace("/", "-")
