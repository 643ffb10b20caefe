"""Arrays and tables of images from anyone: cut, overwritten, lying about their sizes, holding code or addresses."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from runner import MARK, TINY, Case

IMAGES = np.arange(16 * 8 * 8, dtype=np.uint8).reshape(16, 8, 8)
LABELS = np.arange(16) % 4
CUTS, FLIPS = 8, 16
ANY, REFUSED = ("refused", "accepted"), ("refused",)
Write = Callable[[Path], object]
Trial = tuple[str, str, Write, tuple[str, ...]]


class Code:
    """Leaves its mark where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (MARK, "w")


def stored(content: bytes | None = None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": content, "path": path}


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(file, "PNG")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a kilobyte that says that it has 13,000 x 13,000 pixels."""
    head = struct.pack(">IIBBBBB", 13_000, 13_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


ARRAYS: dict[str, dict[str, Any]] = {
    "floats": {"images": IMAGES / 255},
    "objects": {"images": np.array([Code()] * 16)},
    "labels that are objects": {"images": IMAGES, "labels": np.array([Code()] * 16)},
    "labels that are identifiers": {"images": IMAGES, "labels": LABELS * 10**15},
    "labels that are dates": {"images": IMAGES, "labels": np.array(["2020-01-01"] * 16, "M8")},
    "names that steer a terminal": {"\x1b[2J\nx": IMAGES[:, 0], "\x07": LABELS / 2},
    "images of one level, packed to a thousandth": {"images": np.zeros((128, 512, 512), np.uint8)},
    "a thousand arrays": {f"images_{number}": IMAGES for number in range(1000)},
    "nothing": {},
}
SHAPES = (
    "(99999999999, 8, 8)",
    "(-16, 8, 8)",
    "(-16, -8, 8)",
    "(True, 32, 32)",
    "(0, 8, 8)",
    "(16,)",
    "()",
    "(16, 8, 8, " * 9,
)
TABLES: dict[str, dict[str, Any]] = {
    "no images": {"text": ["a"] * 16},
    "no rows": {"image": [stored(png())][:0]},
    "empty rows": {"image": [stored()] * 16},
    "images elsewhere": {"image": [stored(path="https://example.org/x")] * 16},
    "images of the system": {"image": [stored(path="/etc/passwd")] * 16},
    "images in a pipe": {"image": [stored(path="pipe")] * 16},
    "images that start programs": {"image": [stored(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")] * 16},
    "images that unpack to gigabytes": {"image": [stored(bomb())] * 16},
    "labels without order": {"image": [stored(png())] * 16, "label": [0.5] * 16},
    "names that steer a terminal": {"\x1b[2J\n": ["a"] * 16},
}
FOLDERS: dict[str, dict[str, str | bytes]] = {
    "a script": {"x.py": f"open({MARK!r}, 'w')"},
    "a pickle": {"train.pkl": pickle.dumps(Code())},
    "a saved set that is elsewhere": {"state.json": json.dumps({"_data_files": [{"filename": "/dev/zero"}]})},
    "a saved set in text": {"state.json": "[" * 10**5},
    "splits in text": {"dataset_dict.json": "5"},
}
NO_FILES: dict[str, Write] = {
    "empty": Path.touch,
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "not there": lambda path: None,
}


def cases(place: Path, seed: int) -> Iterator[Case]:
    os.environ.update(HF_HOME=str(place / "hub"), HF_HUB_OFFLINE="1")
    import datasets  # noqa: F401  # once for all cases, which are forked from this process

    for kind, setting, writes in (("arrays", "data.path", arrays(seed)), ("tables", "data.name", tables(seed))):
        option = "npz" if kind == "arrays" else "hub"
        for name, file, write, may in writes:
            words = ("train.py", "name=run", f"data={option}", f"{setting}={file}", *TINY)
            cache = ("data.cache=cache", "data.workers=0") if option == "hub" else ()
            yield Case(kind=kind, name=name, words=(*words, *cache), prepare=write, may=may)


def arrays(seed: int) -> Iterator[Trial]:
    yield from damaged("x.npz", partial(save, "x.npz", images=IMAGES, labels=LABELS), seed)
    yield from damaged("x.npy", partial(save, "x.npy", images=IMAGES), seed)
    for shape in SHAPES:
        yield f"x.npy says {shape}", "x.npy", partial(lie, shape), REFUSED
    for name, content in ARRAYS.items():
        yield f"x.npz of {name}", "x.npz", partial(save, "x.npz", **content), REFUSED
    yield "x.npz is a pickle", "x.npz", partial(write_files, {"x.npz": pickle.dumps(Code())}), REFUSED
    for name, make in NO_FILES.items():
        yield f"x.npz is {name}", "x.npz", partial(make_at, "x.npz", make), REFUSED


def tables(seed: int) -> Iterator[Trial]:
    yield from damaged("x.parquet", write_table, seed)
    for name, columns in TABLES.items():
        yield f"x.parquet of {name}", "x.parquet", partial(write_table, columns=columns), REFUSED
    for name, files in FOLDERS.items():
        inside = {f"x/{file}": content for file, content in files.items()}
        yield f"a folder of {name}", "./x", partial(write_files, inside), REFUSED
    for name, make in NO_FILES.items():
        yield f"x.parquet is {name}", "x.parquet", partial(make_at, "x.parquet", make), REFUSED


def damaged(file: str, write: Write, seed: int) -> Iterator[Trial]:
    """(name, file, how it is made, right ends): as it should be, cut at some places, and with bytes turned over."""
    chance = random.Random(f"{seed} {file}")
    yield f"{file} as it should be", file, write, ("accepted",)
    for _ in range(CUTS):
        share = chance.random()
        yield f"{file} cut at {share:.2f}", file, partial(cut, file, write, share), ANY
    for _ in range(FLIPS):
        share = chance.random() ** 2  # more of them in the headers
        yield f"{file} turned over at {share:.2f}", file, partial(flip, file, write, share), ANY


def cut(file: str, write: Write, share: float, folder: Path) -> None:
    write(folder)
    os.truncate(folder / file, int(share * (folder / file).stat().st_size))


def flip(file: str, write: Write, share: float, folder: Path) -> None:
    write(folder)
    content = bytearray((folder / file).read_bytes())
    content[int(share * len(content))] ^= 255
    (folder / file).write_bytes(content)


def save(file: str, folder: Path, **content: np.ndarray) -> None:
    if file.endswith(".npz"):
        np.savez_compressed(folder / file, **content)  # type: ignore[arg-type]
    else:
        np.save(folder / file, content["images"])


def lie(shape: str, folder: Path) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + IMAGES.tobytes()
    (folder / "x.npy").write_bytes(content)


def write_table(folder: Path, columns: dict[str, Any] | None = None) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = columns or {"image": [stored(png())] * 16, "label": LABELS}
    os.mkfifo(folder / "pipe")
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "x.parquet")


def make_at(file: str, make: Write, folder: Path) -> None:
    make(folder / file)


def write_files(files: dict[str, str | bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
