"""Images drawn by a trained model, as files: a grid to look at, the images, and an npz to compute with."""

import inspect
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.compute.memory import check_pixels
from diffusion.compute.progress import Progress
from diffusion.inference.draw import task_steps
from diffusion.inference.film import Film
from diffusion.inference.labels import Labels
from diffusion.inference.prompts import Prompts
from diffusion.inference.titles import picture_title
from diffusion.inference.trained import Trained
from diffusion.pictures.grid import save_picture
from diffusion.pictures.lettering import titled
from diffusion.pictures.pixels import from_uint8, to_uint8
from diffusion.runs.files import atomic_write, make_folder, name_in_errors
from diffusion.runs.naming import shorten, slugify
from diffusion.samplers.sampler import Sampler, draw
from diffusion.tasks.draw import Draw
from diffusion.tasks.task import Task

GRID = 400  # images at most in grid.png


class Request(NamedTuple):
    """Images 0 .. num_images - 1 of a seed, as `prompts` asks for them, `batch_size` at a time, by a task."""

    num_images: int
    batch_size: int
    seed: int
    prompts: Prompts
    task: Task = Draw()

    @property
    def rows(self) -> list[int]:
        """Which row of the prompts each image is told."""
        return [self.task.row(number) for number in range(self.num_images)]


def draw_batches(request: Request, model: Trained, sampler: Sampler, film: Film | None = None) -> Iterator[Tensor]:
    """Batches of this process's share of the images asked for, (N, C, H, W) near [-1, 1].

    An image is the same whatever the batch size and the number of processes. `film` watches the first batch.
    """
    told = partial(request.prompts.condition, device=model.device)
    mine = distributed.shard(range(request.num_images))
    total = len(mine) * request.task.num_steps(sampler, model.diffusion.process)
    with Progress(f"Drawing {request.num_images:,} images", total) as progress:
        for first in range(0, len(mine), request.batch_size):
            numbers = mine[first : first + request.batch_size]
            steps = task_steps(model, sampler, request.task, numbers, seed=request.seed, told=told)
            steps = progress.watch(steps, len(numbers))
            yield draw(steps if film is None or first else film.watch(steps))


def draw_to_files(request: Request, model: Trained, sampler: Sampler, folder: Path, film: Film | None = None) -> None:
    """Draw the images into `folder`: grid.png, images/00000.png and so on, and samples.npz.

    The npz holds arr_0, uint8 (N, H, W, C), and where classes were asked for arr_1, the labels (N,). Until the last
    image is drawn, they lie in images.partial, and what the folder held before stays as it was. Under torchrun each
    process draws its share of the images, and the first one puts them together.
    """
    for name in ("num_images", "batch_size"):
        if getattr(request, name) < 1:
            raise ValueError(f"{name}={getattr(request, name)} must be at least 1")
    check_pixels(request.num_images, model.shape, "set a smaller num_images")
    sampler.levels(model.diffusion.process)  # Steps that it cannot take are refused before there is a folder.
    images, partial_folder = folder / "images", folder / "images.partial"
    if numbered_images(images) and not (folder / "samples.npz").is_file():
        raise ValueError(f"{images} holds numbered images that were not drawn here; give another out=...")
    title = picture_title(model, sampler, seed=request.seed, task=request.task)
    with shared_folder(partial_folder):
        shares = distributed.all_gather(write_shard(request, model, sampler, partial_folder, film))
        if distributed.is_leader():
            write_grid_and_npz(np.concatenate(shares), request, folder, title)
            move_images(partial_folder, images)
            if film is not None:
                film.save(title)
        distributed.all_gather(None)  # Nobody goes before all is in its place.


@contextmanager
def shared_folder(folder: Path) -> Iterator[None]:
    """Makes `folder` for all processes, without images of an earlier attempt; ValueError where they see none.

    If something cannot be written, the images are removed.
    """
    with make_folder(folder) if distributed.is_leader() else nullcontext():
        try:
            if distributed.is_leader():
                remove_images(folder)
            distributed.all_gather(None)
            if not folder.is_dir():
                raise ValueError(f"{folder} was made on another machine; give an out=... that all of them see")
            yield
        except OSError:
            if distributed.is_leader():
                remove_images(folder)
            raise


def write_shard(
    request: Request, model: Trained, sampler: Sampler, folder: Path, film: Film | None = None
) -> np.ndarray:
    """This process's share of the images, uint8 (N, H, W, C), each written to `folder` while others are drawn."""
    mine = distributed.shard(range(request.num_images))
    channels, height, width = model.shape
    pixels, done = np.empty((len(mine), height, width, channels), np.uint8), 0
    with ThreadPoolExecutor(max_workers=1) as writer:
        writing: list[Future[None]] = []
        for batch in draw_batches(request, model, sampler, film):
            check_finite(batch, sampler)
            new = pixels[done : done + len(batch)]
            new[:] = to_uint8(batch).permute(0, 2, 3, 1).cpu().numpy()
            for each in writing:
                each.result()  # A full disk is noticed now, not after the last image.
            files = [folder / f"{number:05d}.png" for number in mine[done : done + len(batch)]]
            writing = [writer.submit(write_image, *each) for each in zip(files, new, strict=True)]
            done += len(batch)
        for each in writing:
            each.result()
    return pixels


def write_image(path: Path, picture: np.ndarray) -> None:
    with name_in_errors(path):
        save_picture(path, picture)


def write_grid_and_npz(pixels: np.ndarray, request: Request, folder: Path, title: str) -> None:
    """Writes samples.npz and grid.png of images, uint8 (N, H, W, C)."""
    y = request.prompts.condition(request.rows).get("y")
    with atomic_write(folder / "samples.npz") as path:
        np.savez(path, pixels, *([] if y is None else [y.numpy()]))
    shown = from_uint8(torch.from_numpy(pixels[:GRID]).permute(0, 3, 1, 2))
    rows = request.rows[:GRID]
    picture = request.task.picture(shown, request.prompts.labels(rows))
    if picture is None:
        picture = request.prompts.picture(shown, rows)
    title += f"\nthe first {GRID} of {len(pixels):,} images" if len(pixels) > GRID else ""
    with atomic_write(folder / "grid.png") as path:
        save_picture(path, titled(picture, title))


def check_finite(x: Tensor, sampler: Sampler) -> None:
    """Raise ValueError for images that a diverging sampler drew."""
    if not x.isfinite().all():
        settings = ", ".join(f"sampler.{name}={value}" for name, value in sampler.settings.items())
        raise ValueError(
            f"the drawn images hold values that are not finite ({type(sampler).__name__} with {settings}); "
            "set sampler.clip=true, more sampler.steps or, with a guide, guidance.clip_guided=true"
        )


def numbered_images(folder: Path) -> list[Path]:
    """The images in `folder` that are called as `write` calls them; none if there is no such folder."""
    return [path for path in folder.glob("*.png") if re.fullmatch("[0-9]{5,}", path.stem)]


def remove_images(folder: Path) -> None:
    for path in numbered_images(folder):
        path.unlink()


def move_images(source: Path, folder: Path) -> None:
    """Puts the numbered images of `source` in the place of those in `folder`."""
    folder.mkdir(exist_ok=True)
    remove_images(folder)
    for new in numbered_images(source):
        os.replace(new, folder / new.name)
    with suppress(OSError):
        source.rmdir()


def sampler_name(sampler: Sampler) -> str:
    """The sampler, its steps, and each setting that differs from its constructor's: ancestral_50, ddim_all_eta_0.5."""
    parts = [type(sampler).__name__.lower(), slugify(sampler.steps or "all")]
    arguments = inspect.signature(type(sampler)).parameters
    for name, value in sampler.settings.items():
        if name == "spacing":
            parts += [value] if value else []
        elif name != "steps" and value != arguments[name].default:
            parts.append(f"{'' if value else 'no_'}{name}" if isinstance(value, bool) else f"{name}_{slugify(value)}")
    return "_".join(parts)


def samples_folder_name(
    request: Request, model: Trained, sampler: Sampler, *, labels: Labels, low_res: str | None
) -> str:
    """Says how images were drawn, so that drawing them otherwise does not overwrite them."""
    parts = [request.task.name, sampler_name(sampler), model.origin]
    parts += [f"seed_{request.seed}"] if request.seed else []
    parts += [f"labels_{slugify(labels)}"] if labels not in (None, "all") else []
    parts += [model.guidance.name] if model.guidance.name else []
    parts += [f"from_{slugify(low_res)}"] if low_res is not None else []
    return shorten("_".join(filter(None, parts)), "_")
