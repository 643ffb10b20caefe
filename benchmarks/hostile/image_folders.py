"""Folders of images from strangers: odd and broken ones among good ones, what is no file, and links in circles."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from damage import SOME, damaged
from odd_images import BROKEN, ODD, make, noise
from PIL import Image
from runner import TINY, Case, trained_run

GOOD = 8
TRAIN = ("train.py", "data=image_folder", "data.root=images", "data.image_size=8", *TINY)
NAMED = BROKEN.keys() - {"thin.png"}  # which fills so small an image
EDIT = ("sample.py", "checkpoint=run", "task=image_to_image", "num_images=1", "out=drawn")


def cases(place: Path, seed: int) -> Iterator[Case]:
    for images in (ODD, BROKEN):
        for name in images:
            for on_error in ("raise", "skip"):
                yield one_among_good(name, {name: images[name]}, on_error, "off")
    for cache in ("off", "packed"):
        yield one_among_good(f"all at once, {cache}", ODD | BROKEN, "skip", cache)
    for name, prepare in FOLDERS.items():
        for labels in ("none", "folder"):
            yield folder_case(name, prepare, labels)
    run = trained_run(place)
    for kind in SOME:
        yield edit(run, "given.npz", kind)
        yield edit(run, "given.png", kind)
    for name, write in NPZ.items():
        yield edit(run, "given.npz", name, write)


def good(folder: Path) -> None:
    make(folder / "images" / "a", {f"good_{i}.png": lambda path: noise().save(path) for i in range(GOOD)})


def beside_good(prepare: Callable[[Path], object], folder: Path) -> None:
    good(folder)
    prepare(folder / "images")


def one_among_good(name: str, images: dict[str, Callable[[Path], object]], on_error: str, cache: str) -> Case:
    """Training on good images and these: the broken ones are named, and no others."""
    broken, steps = NAMED & images.keys(), (GOOD + len(images)) // 8 + 1

    def prepare(folder: Path) -> None:
        beside_good(lambda images_folder: make(images_folder, images), folder)

    def complaint(folder: Path, said: str) -> str | None:
        if on_error == "raise" and broken:
            return None if f"images/{next(iter(broken))} (" in said else "does not name the broken image"
        named = {path.partition("/images/")[2] for path in re.findall(r"^skipping (\S*): ", said, re.M)}
        return None if named == broken else f"names {named ^ broken}"

    return Case(
        kind="image folders", name=f"{name}, {on_error}", prepare=prepare, complaint=complaint,
        words=(*TRAIN, f"data.on_error={on_error}", f"data.cache={cache}", f"train.max_steps={steps}"),
        may=("refused",) if broken and on_error == "raise" else ("accepted",),
    )  # fmt: skip


def folder_case(name: str, prepare: Callable[[Path], object], labels: str) -> Case:
    """Training on a folder in which links lead in circles: every image is there once."""

    def complaint(folder: Path, said: str) -> str | None:
        count = re.search(r"Packed the (\S+) images", said)
        return None if count and int(count[1]) == GOOD + ("elsewhere" in name) else "lists images twice, or not at all"

    return Case(
        kind="image folders", name=f"{name}, labels={labels}", may=("accepted",), complaint=complaint,
        words=(*TRAIN, f"data.labels={labels}", "data.cache=packed"),
        prepare=partial(beside_good, prepare),
    )  # fmt: skip


def edit(run: Path, file: str, kind: str, write: Callable[[Path], object] | None = None) -> Case:
    """Drawing from an image, or an npz of them, that is damaged or none."""

    def prepare(folder: Path) -> None:
        shutil.copytree(run, folder / "run")
        pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
        Image.fromarray(pixels[0, :, :, 0]).save(folder / "given.png")
        np.savez(folder / "given.npz", pixels, np.arange(2))
        write(folder / file) if write else damaged(folder / file, kind)

    return Case(
        kind="image folders", name=f"{file} is {kind}", words=(*EDIT, f"task.images={file}"), prepare=prepare,
        may=("refused", "accepted"),
    )  # fmt: skip


def links(targets: dict[str, str]) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        for name, target in targets.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)

    return prepare


def deep(folder: Path) -> None:
    for _ in range(600):
        folder = folder / "d"
        folder.mkdir()


def elsewhere(folder: Path) -> None:
    make(folder.parent / "more", {"one.png": lambda path: noise().save(path)})
    links({"far": "../more", "further": "../more", "a/far": "../../more"})(folder)


FOLDERS: dict[str, Callable[[Path], object]] = {
    "a link to itself": links({"here": "."}),
    "two links to itself": links({"here": ".", "there": "."}),
    "forty links to itself": links({f"here_{i}": "." for i in range(40)}),
    "a link to the folder above": links({"up": ".."}),
    "links to the root": links({"top": "/", "a/top": "/"}),
    "two folders that hold each other": links({"a/b": "../b", "b/a": "../a"}),
    "ten folders that hold all": links({f"{i}/{j}": f"../{j}" for i in range(10) for j in range(10)}),
    "a loop": links({"loop": "loop", "a/loop.png/x": "."}),
    "a link to a folder elsewhere": elsewhere,
    "folders 600 deep": deep,
    "a folder called an image": lambda folder: (folder / "a.png").mkdir(),
    "a pipe that is no image": lambda folder: os.mkfifo(folder / "notes.txt"),
    "a hidden pipe": lambda folder: os.mkfifo(folder / ".pipe.png"),
}


def npz(**arrays: Any) -> Callable[[Path], object]:
    return lambda path: np.savez(path, **arrays)


NPZ: dict[str, Callable[[Path], object]] = {
    "of objects": npz(arr_0=np.array([{}, None])),
    "of another shape": npz(arr_0=np.zeros((2, 9, 9, 1), np.uint8)),
    "of floats": npz(arr_0=np.zeros((2, 8, 8, 1), np.float32)),
    "of no images": npz(arr_0=np.zeros((0, 8, 8, 1), np.uint8)),
    "of other names": npz(images=np.zeros((2, 8, 8, 1), np.uint8)),
    "with labels that are none": npz(arr_0=np.zeros((2, 8, 8, 1), np.uint8), arr_1=np.array(["a", "b"])),
    "with labels beyond all": npz(arr_0=np.zeros((2, 8, 8, 1), np.uint8), arr_1=np.array([-5, 10**12])),
    "of 270 MB in 270 kB": lambda path: np.savez_compressed(path, np.zeros((2**22, 8, 8, 1), np.uint8)),
}
