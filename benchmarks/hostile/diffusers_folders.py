"""Folders of diffusers that are damaged, of another kind, or made to cost memory, time or a run of their code."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from runner import MARK, Case, run, trained_run

KIND = "a folder of diffusers"
INDEX, NETWORK, SCHEDULER = "model_index.json", "unet/config.json", "scheduler/scheduler_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
ODD: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    2**40,
    1e308,
    float("nan"),
    "",
    "x" * 10**6,
    [],
    [[]],
    {},
    [None],
    "${oc.env:HOME}",
    "\x1b[2J",
)
SAMPLE = ("sample.py", "checkpoint=model", "num_images=1", "sampler.steps=2", "device=cpu", "out=drawn")


def cases(place: Path, seed: int) -> Iterator[Case]:
    trained_run(place / "trained")
    words = ("export.py", "checkpoint=runs/run", "format=diffusers", "out=model", "device=cpu")
    code, *_ = run(words, place / "trained", seconds=60)
    assert code == 0, (place / "trained.err").read_text()
    sound = place / "trained" / "model"
    damages = {**of_files(), **of_values(sound), **of_bytes(sound, random.Random(seed))}
    for name, (damage, may) in {"sound": (lambda folder: None, ("accepted",)), **damages}.items():
        yield Case(kind=KIND, name=name, words=SAMPLE, may=may, prepare=partial(prepared, sound, damage))


Damages = dict[str, tuple[Callable[[Path], object], tuple[str, ...]]]


def prepared(sound: Path, damage: Callable[[Path], object], folder: Path) -> None:
    shutil.copytree(sound, folder / "model")
    damage(folder / "model")


def of_files() -> Damages:
    """Files that are missing, of another kind, or would run code."""
    refused = ("refused",)
    found: Damages = {}
    for name in (INDEX, NETWORK, SCHEDULER, WEIGHTS):
        found |= {
            f"no {name}": (partial(lambda name, f: (f / name).unlink(), name), refused),
            f"empty {name}": (partial(lambda name, f: (f / name).write_bytes(b""), name), refused),
            f"{name} is a pipe": (partial(lambda name, f: replaced(f / name, os.mkfifo), name), refused),
            f"{name} is a folder": (partial(lambda name, f: replaced(f / name, os.mkdir), name), refused),
            f"{name} is endless": (
                partial(lambda name, f: replaced(f / name, lambda p: os.symlink("/dev/zero", p)), name), refused
            ),
            f"{name} is deep": (partial(lambda name, f: (f / name).write_text("[" * 10**6), name), refused),
            f"{name} is a pickle": (
                partial(lambda name, f: (f / name).write_bytes(pickle.dumps(Mark(str(f.parent / MARK)))), name), refused
            ),
            f"{name} is filled up to 1 GB": (partial(lambda name, f: os.truncate(f / name, 10**9), name), refused),
        }  # fmt: skip
    code = f"open({MARK!r}, 'w')"
    found["its code"] = (lambda f: (f / "pipeline.py").write_text(code), ("accepted",))
    return found


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


class Mark:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def of_values(sound: Path) -> Damages:
    """Every setting with values that it cannot have, some of which are what it has; and names that fill a book."""
    names = {**json.loads((sound / INDEX).read_text())["id2label"], "0": "wide " * 10**5, "1": "w" * 10**6}
    long = {"long names of classes": (partial(changed, INDEX, "id2label", names), ("accepted",))}
    return long | {
        f"{name}: {key}={value!r:.20}": (partial(changed, name, key, value), ("refused", "accepted"))
        for name in (INDEX, NETWORK, SCHEDULER)
        for key in json.loads((sound / name).read_text())
        for value in ODD
    }


def changed(name: str, key: str, value: object, folder: Path) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, key: value}))


def of_bytes(sound: Path, chance: random.Random) -> Damages:
    """Weights that say of themselves what they are not: in their header, their length, and bytes drawn by chance."""
    whole = (sound / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    name = next(key for key in header if key != "__metadata__")
    lies = {
        "shape": {**header, name: {**header[name], "shape": [2**40]}},
        "offsets": {**header, name: {**header[name], "data_offsets": [0, 2**62]}},
        "type": {**header, name: {**header[name], "dtype": "I64"}},
        "names": {f"{key}x": value for key, value in header.items()},
        "many": {**header, **{f"more_{i}": header[name] for i in range(10_000)}},
    }
    found: Damages = {
        f"weights that lie of their {what}": (partial(written, with_header(lie, whole[8 + length :])), ("refused",))
        for what, lie in lies.items()
    }
    for place in sorted(chance.sample(range(8 + length), 40)):
        flipped = whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]
        found[f"byte {place} of the header"] = (partial(written, flipped), ("refused", "accepted"))
    for share in (0.1, 0.5, 0.999):
        found[f"{share:g} of the weights"] = (partial(written, whole[: int(share * len(whole))]), ("refused",))
    return found


def with_header(header: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def written(content: bytes, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(content)
