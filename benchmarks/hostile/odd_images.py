"""Images that are odd and must be read, and broken ones that must be named; `make` writes either."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int = 40, width: int = 48) -> Image.Image:
    """A colour picture in which every pixel counts."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def shades() -> np.ndarray:
    return np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise().save(path, exif=exif)


def animated(path: Path) -> None:
    noise().save(path, save_all=True, append_images=[noise(), Image.new("RGB", (48, 40))], duration=100)


def cut(path: Path) -> None:
    noise(200, 200).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def disguised(path: Path) -> None:
    noise().save(path, format="png")


def bomb(path: Path) -> None:
    """A PNG of 20,000 x 20,000 pixels in 50 kB."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(20_000 * (1 + 2500)))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")))
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def sparse(path: Path) -> None:
    """20 GB that take no room."""
    path.touch()
    os.truncate(path, 20 * 2**30)


def long_chunk(path: Path) -> None:
    """A PNG whose first words are 50 MB long."""
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    path.write_bytes(head + struct.pack(">I", 50 * 2**20) + b"tEXt")
    os.truncate(path, 55 * 2**20)


POSTSCRIPT = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(mark) (w) file closefile showpage\n"
# Each file name with what makes it.
ODD: dict[str, Callable[[Path], object]] = {
    "animated.gif": animated,
    "cmyk.jpg": lambda path: noise().convert("CMYK").save(path),
    "grey_16_bit.png": lambda path: Image.fromarray(shades()).save(path),
    "palette_transparent.png": lambda path: noise().quantize(16).save(path, transparency=bytes(range(16))),
    "rgba.png": lambda path: noise().convert("RGBA").save(path),
    "exif_rotated.jpg": turned,
    "one_pixel.png": lambda path: noise(1, 1).save(path),
    "png_called.jpg": disguised,
}
BROKEN: dict[str, Callable[[Path], object]] = {
    "truncated.jpg": cut,
    "truncated.png": cut,
    "no_bytes.png": lambda path: path.write_bytes(b""),
    "zero_bytes.jpg": lambda path: path.write_bytes(bytes(4096)),
    "text_called.jpg": lambda path: path.write_text("no image"),
    "bomb.png": bomb,
    "thin.png": lambda path: noise(60_000, 1).save(path),
    "floats.tif": lambda path: Image.fromarray(np.random.rand(32, 32).astype(np.float32)).save(path),
    "link_to_nothing.png": lambda path: path.symlink_to("nowhere.png"),
    "link_to_itself.png": lambda path: path.symlink_to(path.name),
    "link_to_zeros.png": lambda path: path.symlink_to("/dev/zero"),
    "link_to_a_terminal.png": lambda path: path.symlink_to("/dev/ptmx"),
    "pipe.png": lambda path: os.mkfifo(path),
    "folder.png/nothing.png": lambda path: os.mkfifo(path),
    "sparse.png": sparse,
    "long_chunk.png": long_chunk,
    "postscript.png": lambda path: path.write_text(POSTSCRIPT),
}


def make(folder: Path, kinds: dict[str, Callable[[Path], object]]) -> None:
    """Writes the odd or the broken files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in kinds.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write(folder / name)
