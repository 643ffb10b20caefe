"""What is worth knowing of a GPU, in one command: python benchmarks/gpu.py [--original FOLDER]

For the three networks of the paper, each named as to train.py: training in every number format, with the images that
make a step of about 10 TFLOP; the released code beside it, if its loss agrees; twice as many images, and twice again,
until memory is full; drawing in so many calls; the slowest operations of the fastest step, and how often the program
waits for the device in it; then what compiling gives, in drawing as one CUDA graph. What is most worth knowing comes
first, each part has a share of --minutes, and what no longer fits is named. What cannot be measured, such as too many
images, is a row that says why.

A row is printed when it is known, all of them again at the end, and a line of JSON. The columns are those of
train_step.py without `speed`; in drawing, a step is a whole drawing. `GB` counts the weights of the other networks too.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import signal
import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import torch
from original import imported
from race import COLUMNS, Contestant, Times, cells, figures, machine, teraflops, timed
from recipe import recipe
from sampling import steps_of
from train_step import original_training, ours_training, slowest

from diffusion.cli.command import report_errors
from diffusion.compute.device import resolve_device
from diffusion.compute.flops import TRAINING, matmul_speed
from diffusion.compute.precision import DTYPES, check_precision, set_matmul_precision
from diffusion.config import instantiate
from diffusion.inference.fast_network import FORMATS, FastNetwork
from diffusion.samplers.sampler import draw

NETWORKS = ("experiment=cifar10_hybrid", "experiment=imagenet64_hybrid", "experiment=lsun256")
STEP = 10e12  # operations of a step of training: a tenth of a second on a GPU of 2022 in bf16
ROUND, ROUNDS, MOST_STEPS = 0.5, 3, 20  # seconds of a round, how many of them, and steps in each at most
MOST_DOUBLINGS = 20
WIDTH = 56  # of the names of rows
# What is measured of each network, what is most worth knowing first, and the most of all the time that it may take.
PARTS = {
    "formats": 0.1, "original": 0.1, "batches": 0.1, "drawing": 0.1, "operations": 0.05,
    "compiled": 0.25, "graphs": 0.2,
}  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", metavar="FOLDER", help="a checkout of improved-diffusion")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything (default: 9)")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="OVERRIDES", help="other networks")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", nargs="+", type=int, help="these numbers of images alone")
    parser.add_argument("--calls", nargs="+", type=int, default=[25, 10, 250], help="of the network in a drawing")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    if min(chosen.minutes, *chosen.calls, *(chosen.batches or ())) <= 0:
        raise ValueError("--minutes, --batches and --calls must be above 0")
    device = resolve_device(chosen.device)
    if chosen.original:
        imported(chosen.original)
    found = Measurements(device, 60 * chosen.minutes)
    networks = [Network(overrides, chosen, found) for overrides in chosen.networks]
    for part, share in PARTS.items():
        for network in networks:
            found.part(f"{network.name}, {part}", share, getattr(network, part))
    found.report()


class Overtime(BaseException):
    """The time of a part is over. No Exception, which a compiler would take for its own failure."""


class Measurements:
    """The rows so far, and why others lack; each is printed when it is known."""

    def __init__(self, device: torch.device, seconds: float) -> None:
        self.device, self.seconds, self.began = device, seconds, perf_counter()
        self.rows: dict[str, dict[str, float]] = {}
        self.lacking: dict[str, str] = {}
        self.peaks: dict[str, float] = {}
        self.waits: dict[str, int] = {}
        self.at = ""
        show("", COLUMNS)

    def part(self, name: str, share: float, work: Callable[[], None]) -> None:
        """Do `work()`, which adds rows, within a `share` of all the time; not at all where less than half is left."""
        self.at, mine = name, share * self.seconds
        left = min(mine, self.seconds - (perf_counter() - self.began))
        if left < mine / 2:
            self.lack(name, "not measured: the time is up")
            return
        signal.signal(signal.SIGALRM, raise_overtime)
        try:
            signal.setitimer(signal.ITIMER_REAL, left)
            try:
                work()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Overtime:
            self.lack(self.at, f"not measured within {left:.0f} s")

    def row(self, name: str, make: Callable[[], Contestant]) -> bool:
        """Measure what `make()` gives; False if that failed, which is then the row."""

        def measure() -> None:
            self.rows[name] = row = self.measured(make())
            show(name, cells(row))

        return self.attempt(name, measure)

    def attempt(self, name: str, work: Callable[[], None]) -> bool:
        """Do `work()`; where it fails, say why, and False. Whatever it is, it must not cost the other rows."""
        self.at = name
        try:
            work()
        except torch.OutOfMemoryError:
            self.lack(name, "out of memory")
        except Exception as error:
            self.lack(name, f"failed: {str(error).partition(chr(10))[0] or type(error).__name__}")
        else:
            return True
        finally:
            if self.device.type == "cuda":
                gc.collect()
                torch.cuda.empty_cache()
        return False

    def measured(self, contestant: Contestant) -> dict[str, float]:
        timed(contestant, self.device, 1)  # compiles, and fills what is cached
        once, _ = timed(contestant, self.device, 1)
        steps = max(1, min(MOST_STEPS, int(ROUND / once)))
        rounds = [timed(contestant, self.device, steps) for _ in range(ROUNDS if once < 1 else 1)]
        seconds, memory = zip(*rounds, strict=True)
        precision = contestant.precision
        self.peaks[precision] = max(self.peaks.get(precision, 0.0), matmul_speed(self.device, precision))
        return figures(contestant, Times([*seconds], max(memory)), self.peaks[precision])

    def speed(self, name: str) -> float:
        return self.rows[name]["images_per_second"] if name in self.rows else 0.0

    def lack(self, name: str, why: str) -> None:
        self.lacking[name] = why
        show(name, why)

    def report(self) -> None:
        print()
        show("", COLUMNS)
        for name, row in self.rows.items():
            show(name, cells(row))
        for name, why in self.lacking.items():
            show(name, why)
        facts = {**machine(self.device), "matmul_tflops": teraflops(self.peaks)}
        results = {"waits": self.waits, "results": self.rows, "not_measured": self.lacking}
        print(json.dumps({"benchmark": "gpu", **facts, **results}), flush=True)


class Network:
    """One of the networks, in training and in drawing; the methods named in `PARTS` each measure a part."""

    def __init__(self, overrides: str, chosen: argparse.Namespace, found: Measurements) -> None:
        self.name, self.chosen, self.found = overrides.removeprefix("experiment="), chosen, found
        self.ours = recipe([*overrides.split(), f"device={chosen.device}"])
        sizes = chosen.batches or doubled(STEP / (TRAINING * self.ours.flops))
        self.size, self.larger = sizes[0], sizes[1:]
        self.ours = self.ours.of_batch(self.size)
        self.ready: dict[tuple[str, bool], FastNetwork] = {}  # to draw with, compiled but once

    def formats(self) -> None:
        for kind in ("bf16", "float32", "tf32", "fp16"):
            self.train(self.size, kind)

    def original(self) -> None:
        for kind in ("float32", "fp16") if self.chosen.original else ():
            set_matmul_precision(kind, self.ours.device)  # exact float32 in theirs, as in ours
            make = partial(original_training, ours=self.ours, checkout=self.chosen.original, precision=kind)
            title = f"{self.training(self.size, kind)}, original"
            self.found.row(title, partial(make, title))

    def batches(self) -> None:
        for size in self.larger:
            if not self.train(size, self.fastest_training):
                return

    def drawing(self) -> None:
        first, *others = self.chosen.calls
        for kind in FORMATS:
            self.draw(first, kind)
        for calls in others:
            self.draw(calls, self.fastest_drawing)

    def operations(self) -> None:
        title, device = self.training(self.size, self.fastest_training), self.ours.device

        def look() -> None:
            contestant = ours_training(title, self.ours.trained(precision=self.fastest_training, compile=False))
            contestant.step()
            print(f"\n{title}\n{slowest(contestant, device)}", flush=True)
            if device.type == "cuda":
                self.found.waits[title] = waits(contestant.step)
                show(title, f"waits for the device {self.found.waits[title]} times in a step")

        self.found.attempt(f"{title}, operations", look)

    def compiled(self) -> None:
        self.train(self.size, self.fastest_training, compile=True)

    def graphs(self) -> None:
        for calls in self.chosen.calls:
            self.draw(calls, self.fastest_drawing, compile=True)

    def train(self, size: int, kind: str, *, compile: bool = False) -> bool:
        title = self.training(size, kind) + ", compiled" * compile

        def make() -> Contestant:
            check_precision(kind, self.ours.device, setting="train.precision")
            return ours_training(title, self.ours.of_batch(size).trained(precision=kind, compile=compile))

        return self.found.row(title, make)

    def draw(self, calls: int, kind: str, *, compile: bool = False) -> bool:
        title = self.sampling(calls, kind) + ", CUDA graph" * compile

        def make() -> Contestant:
            ours, sampler = self.ours, instantiate.instantiate(self.ours.config.sampler)
            sampler.steps, noise = calls, torch.randn_like(ours.x_0)
            if (kind, compile) not in self.ready:
                network = FastNetwork(ours.network.eval(), ours.device, compile=compile, precision=kind)
                self.ready[kind, compile] = network
            step = lambda: draw(steps_of(sampler, ours, self.ready[kind, compile], lambda: noise))  # noqa: E731
            return Contestant(title, step, len(noise), calls * ours.flops, kind)

        return self.found.row(title, make)

    def training(self, size: int, kind: str) -> str:
        return f"{self.name}, {size} images, {kind}"

    def sampling(self, calls: int, kind: str) -> str:
        return f"{self.name}, drawn in {calls} calls, {kind}"

    @property
    def fastest_training(self) -> str:
        return max(DTYPES, key=lambda kind: self.found.speed(self.training(self.size, kind)))

    @property
    def fastest_drawing(self) -> str:
        return max(FORMATS, key=lambda kind: self.found.speed(self.sampling(self.chosen.calls[0], kind)))


def doubled(first: float) -> list[int]:
    """The power of two below `first`, or 1, and twice as much again and again."""
    least = 2 ** max(0, int(math.log2(first)))
    return [least * 2**k for k in range(MOST_DOUBLINGS)]


def waits(step: Callable[[], Any]) -> int:
    """How often a step makes the program wait for a GPU."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in said)


def raise_overtime(*_: Any) -> None:
    raise Overtime


def show(name: str, what: str) -> None:
    print(f"{name:{WIDTH}}  {what}", flush=True)


if __name__ == "__main__":
    with report_errors("gpu"):
        main()
