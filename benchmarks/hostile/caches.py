"""A folder of packed images after a power cut, or of anyone's: each of its files damaged in each way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from damage import KINDS, NO_FILE, SOME, damaged
from image_folders import TRAIN, good
from runner import Case, run

from diffusion.data.cache import file_name

FILES = {".json": KINDS, ".pixels": SOME, ".lock": SOME, ".partial.pixels": SOME, ".partial.json": SOME}
WORDS = (*TRAIN, "data.cache=packed", "train.max_steps=2")


def cases(place: Path, seed: int) -> Iterator[Case]:
    packed = place / "packed_before"
    packed.mkdir()
    good(packed)
    code, *_ = run(WORDS, packed, seconds=120)
    assert code == 0, packed.with_suffix(".err").read_text()
    for suffix, kinds in FILES.items():
        for kind in kinds:
            yield cache_case(f"{suffix} is {kind}", partial(prepare, packed, suffix, kind))
    for kind in NO_FILE:
        yield cache_case(f"the folder is {kind}", partial(in_place_of_the_folder, kind))


def cache_case(name: str, prepare: Callable[[Path], object]) -> Case:
    return Case(kind="caches", name=name, words=WORDS, prepare=prepare, may=("accepted",), complaint=complaint)


def prepare(packed: Path, suffix: str, kind: str, folder: Path) -> None:
    """The images as they were packed, under the name that they have here, and one of the files damaged."""
    shutil.copytree(packed / "images", folder / "images")
    shutil.copytree(packed / "packed", folder / "packed")
    stem = Path(file_name(str(folder / "images"), (3, 8, 8))).stem
    for path in list((folder / "packed").iterdir()):
        path.rename(path.with_name(f"{stem}{path.suffix}"))
    damaged(folder / "packed" / f"{stem}{suffix}", kind)
    if suffix not in (".json", ".pixels"):  # which only those look at who pack
        (folder / "packed" / f"{stem}.json").unlink()


def in_place_of_the_folder(kind: str, folder: Path) -> None:
    good(folder)
    damaged(folder / "packed", kind)


def complaint(folder: Path, said: str) -> str | None:
    return None if "Done" in said else "does not train to the end"
