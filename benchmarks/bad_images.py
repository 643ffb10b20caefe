"""What training makes of odd and broken images: python benchmarks/bad_images.py

Mixes good images with odd ones (animated, CMYK, 16-bit, ...) and broken ones (truncated, empty, a decompression bomb,
...), trains a few steps on the folder with data.on_error=skip, packed and decoded as it goes, and prints what became of
each file. Exits with 1 unless both trainings complete, name just the broken ones, and need no more memory for them.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN = Path(__file__).parents[1] / "train.py"
GOOD = 12
MORE_MEMORY = 0.3  # GB
QUIET = ("device=cpu", "train.preview.every=0", "logger.mode=disabled", "train.batch_size=8", "train.log_every=100")


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
}


def make(folder: Path, kinds: dict[str, Callable[[Path], object]]) -> None:
    """Writes the odd or the broken files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in kinds.items():
        write(folder / name)


def trained(root: Path, cache: str, place: Path) -> tuple[int, str, float]:
    """Exit code, output and peak memory (GB) of a short training on `root` that sees every image."""
    steps = len(list(root.iterdir())) // 8 + 1
    command = [
        sys.executable, str(TRAIN), "data=image_folder", f"data.root={root}", "data.image_size=64", "model=unet_tiny",
        "model.base_channels=16", "model.attention_resolutions=[16]", "data.on_error=skip", f"data.cache={cache}",
        f"train.max_steps={steps}", f"runs={place}", *QUIET,
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return process.returncode, said.read(), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for root in (place / "good", place / "mixed"):
            make(root, {f"good_{i}.png": lambda path: noise().save(path) for i in range(GOOD)})
        make(place / "mixed", ODD)
        make(place / "mixed", BROKEN)
        _, _, before = trained(place / "good", "off", place / "runs_good")
        ways = {"packed": str(place / "cache"), "decoded": "off"}
        ends = {way: trained(place / "mixed", cache, place / f"runs_{way}") for way, cache in ways.items()}
    named = {way: dict(re.findall(r"^skipping \S*/(\S+): (.*)$", said, re.M)) for way, (_, said, _) in ends.items()}
    print(f"{'file':24} {'packed':8} {'decoded':8}")
    for file in (*ODD, *BROKEN):
        words = ["skipped" if file in named[way] else "read" for way in ways]
        print(f"{file:24} {words[0]:8} {words[1]:8} {named['packed'].get(file, '').replace(f'{place}/', '')[:110]}")
    right = True
    for way, (code, said, most) in ends.items():
        fine = code == 0 and named[way].keys() == BROKEN.keys() and most < before + MORE_MEMORY
        print(f"{way}: exit code {code}, {most:.2f} GB ({before:.2f} without bad images): {'ok' if fine else 'WRONG'}")
        if not fine:
            print(said)
        right = right and fine
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
