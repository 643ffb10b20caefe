"""How fast images reach the training: python benchmarks/data.py [--root FOLDER] [--size 32] [--images 10000]

Of a folder of images, or of one made here. All rows count whole images, in the shuffled order of training:

gather           uint8 batches out of the packed file, as the reading thread hands them over
batches          the same turned into what the network sees: flipped by chance, float32 in [-1, 1]
decode, N        uint8 batches decoded from the files by N processes, 0 being a thread of this one
decode once      every image decoded by as many processes as pack
pack             every image decoded, written to the packed file and forced to the disk

Rounds of all rows alternate, and a row's figure is its median. Last, the share of its time that the default run of
train.py waits for data, conversion to floats included, and one line of JSON with everything.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import count
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image

from diffusion.data import cache, readers, stream
from diffusion.data.folder import ImageFolder, image_files
from diffusion.data.images import Images
from diffusion.data.loader import batches
from diffusion.training import loop

TRAIN = Path(__file__).parents[1] / "train.py"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="a folder of images; without it, noisy JPEGs of 32x32 are made")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=10_000, help="how many of the folder to take")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="of the default run; 0 leaves it out")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        root = filled(Path(place) / "images", chosen)
        figures = rates(root, Path(place), chosen, opened)
        print(f"{len(image_files(str(root)))} images of {chosen.size}x{chosen.size}, batches of {chosen.batch}")
        print("               images/s   slowest   fastest")
        for name, values in figures.items():
            print(f"{name:12}  {statistics.median(values):9,.0f} {min(values):9,.0f} {max(values):9,.0f}", flush=True)
        share = waiting_share(Path(place) / "runs", chosen.steps) if chosen.steps else None
    if share is not None:
        print(f"the default run waits for data {share:.2%} of its time")
    medians = {name: round(statistics.median(values)) for name, values in figures.items()}
    machine = {"cores": cache.available_cores(), "torch": torch.__version__}
    print(json.dumps({"images_per_second": medians, "waiting_share": share, "batch": chosen.batch, **machine}))


def filled(root: Path, chosen: argparse.Namespace) -> Path:
    """A folder with links to some of the user's images, or with images made here."""
    root.mkdir()
    if chosen.root:
        given = os.path.abspath(chosen.root)
        for number, file in enumerate(image_files(given)[: chosen.images]):
            (root / f"{number:08}{Path(file).suffix}").symlink_to(os.path.join(given, file))
        return root
    chance = np.random.default_rng(0)
    for number in range(chosen.images):
        coarse = Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(root / f"{number:08}.jpg", quality=92)
    return root


def rates(root: Path, place: Path, chosen: argparse.Namespace, opened: ExitStack) -> dict[str, list[float]]:
    """Images a second of each way, one figure a round."""

    def folder(kept: str, workers: int) -> ImageFolder:
        return ImageFolder(
            root=str(root), image_size=chosen.size, cache=kept, workers=workers, flip=True, on_error="skip"
        )

    packed = folder(str(place / "cache"), 2)
    packed.prepare()
    gathered = opened.enter_context(closing(shuffled(packed, chosen.batch)))
    whole = opened.enter_context(closing(batches(packed, batch_size=chosen.batch, seed=0)))
    ways: dict[str, Callable[[], float]] = {
        "gather": lambda: rate(gathered, chosen.batch, 2000),
        "batches": lambda: rate(whole, chosen.batch, 200),
        "decode, 0": lambda: fresh(folder("off", 0), chosen.batch),
        "decode, 2": lambda: fresh(folder("off", 2), chosen.batch),
        "decode once": lambda: len(packed) / decoding(folder("off", 2)),
        "pack": lambda: len(packed) / packing_time(folder("off", 2), place / "again.pixels"),
    }
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            figures[name].append(way())
    return figures


def shuffled(images: Images, batch: int):
    """uint8 batches in the order of training, without end."""
    ranges = (range(step * batch, (step + 1) * batch) for step in count())
    return readers.in_order(images, (stream.indices(r, length=len(images), seed=0).tolist() for r in ranges))


def rate(reads: Iterator, batch: int, number: int) -> float:
    """Images a second while `number` batches are taken, after a first one."""
    next(reads)
    begun = perf_counter()
    for _ in range(number):
        next(reads)
    return batch * number / (perf_counter() - begun)


def fresh(images: Images, batch: int) -> float:
    """The rate of a source opened for this round, so that idle ones do not work ahead while others are measured."""
    with closing(shuffled(images, batch)) as reads:
        return rate(reads, batch, 20)


def decoding(images: ImageFolder) -> float:
    """Seconds to decode all, by as many processes and in the same pieces as packing."""
    begun = perf_counter()
    wanted = map(list, cache.pieces(images))
    with closing(readers.in_order(images, wanted, workers=max(images.workers, cache.available_cores()))) as reads:
        for _ in reads:
            pass
    return perf_counter() - begun


def packing_time(images: ImageFolder, path: Path) -> float:
    begun = perf_counter()
    cache.pack(path, images, "key")
    return perf_counter() - begun


def waiting_share(runs: Path, steps: int) -> float:
    """The part of the default run's time, from its second batch on, that it spends in asking for the next one."""
    waits, times = [], []
    whole = loop.batches

    def timed(*given, **named):
        with closing(whole(*given, **named)) as reads:
            while True:
                begun = perf_counter()
                batch = next(reads)
                times.append(perf_counter())
                waits.append(times[-1] - begun)
                yield batch

    loop.batches = timed
    quiet = ["train.preview.every=0", "logger.mode=disabled", "hydra/job_logging=none"]
    sys.argv = [str(TRAIN), f"train.max_steps={steps}", f"runs={runs}", *quiet]
    with suppress(SystemExit):
        runpy.run_path(str(TRAIN), run_name="__main__")
    loop.batches = whole
    return sum(waits[1:]) / (times[-1] - times[0])


if __name__ == "__main__":
    main()
