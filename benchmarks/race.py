"""Contestants timed in turns in one process, so that what slows the machine slows all of them alike."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from diffusion.compute.flops import elapsed, matmul_speed

COLUMNS = "ms/step    best  spread  images/s  TFLOP/s  of peak     GB"


class Contestant(NamedTuple):
    """What is timed: `step()` works on `images` images, each `flops` operations, most of them in `precision`."""

    name: str
    step: Callable[[], Any]
    images: int
    flops: float
    precision: str = "float32"


class Times(NamedTuple):
    """Seconds of a step in each round, and the most memory of the device in GB (0 where it cannot be told apart)."""

    seconds: list[float]
    memory: float


def race(
    contestants: list[Contestant], device: torch.device, *, rounds: int, steps: int
) -> tuple[dict[str, Times], dict[str, float]]:
    """The times of each after a first round that does not count, and the speed of matrix products in each precision."""
    times = {contestant.name: Times([], 0.0) for contestant in contestants}
    peaks = dict.fromkeys([contestant.precision for contestant in contestants], 0.0)
    for turn in range(rounds + 1):
        for contestant in contestants:
            taken, memory = timed(contestant, device, steps if turn else 1)
            if turn:
                before = times[contestant.name]
                times[contestant.name] = Times([*before.seconds, taken], max(before.memory, memory))
        peaks = {precision: max(peak, matmul_speed(device, precision)) for precision, peak in peaks.items()}
    return times, peaks


def timed(contestant: Contestant, device: torch.device, steps: int) -> tuple[float, float]:
    """Seconds of one step, the mean over `steps`, and the GPU's memory meanwhile in GB."""
    if device.type != "cuda":
        return elapsed(lambda: [contestant.step() for _ in range(steps)], device) / steps, 0.0
    torch.cuda.reset_peak_memory_stats(device)
    taken = elapsed(lambda: [contestant.step() for _ in range(steps)], device) / steps
    return taken, torch.cuda.max_memory_allocated(device) / 1e9


def report(
    benchmark: str,
    contestants: list[Contestant],
    times: dict[str, Times],
    peaks: dict[str, float],
    **facts: Any,
) -> None:
    """Prints a table, in which the first is what the others' speed is compared with, and a line of JSON."""
    width = max(len(contestant.name) for contestant in contestants)
    first = times[contestants[0].name].seconds
    rows = {c.name: figures(c, times[c.name], peaks[c.precision]) | speeds(first, times[c.name]) for c in contestants}
    print(f"{'':{width}}  {COLUMNS}   speed")
    for name, row in rows.items():
        print(f"{name:{width}}  {cells(row)}  {row['speed']:5.2f}x")
    print(json.dumps({"benchmark": benchmark, **facts, "matmul_tflops": teraflops(peaks), "results": rows}))


def cells(row: dict[str, float]) -> str:
    """The figures of one row, under COLUMNS."""
    return (
        f"{row['ms']:7.1f} {row['best_ms']:7.1f}  {row['spread']:6.1%} {row['images_per_second']:9.1f}"
        f"  {row['tflops']:7.3f}  {row['share_of_peak']:7.1%} {row['memory_gb']:6.2f}"
    )


def teraflops(peaks: dict[str, float]) -> dict[str, float]:
    return {precision: round(peak / 1e12, 4) for precision, peak in peaks.items()}


def figures(contestant: Contestant, times: Times, peak: float) -> dict[str, float]:
    """Medians over the rounds."""
    median, best = statistics.median(times.seconds), min(times.seconds)
    speed = contestant.images / median
    return {
        "ms": round(1e3 * median, 3),
        "best_ms": round(1e3 * best, 3),
        "spread": round((max(times.seconds) - best) / median, 4),
        "images_per_second": round(speed, 3),
        "tflops": round(contestant.flops * speed / 1e12, 5),
        "share_of_peak": round(contestant.flops * speed / peak, 4),
        "memory_gb": round(times.memory, 3),
    }


def speeds(first: list[float], times: Times) -> dict[str, float]:
    """What the first took in a round, divided by what this one took in it: the median, and of the best rounds."""
    return {
        "speed": round(statistics.median(a / b for a, b in zip(first, times.seconds, strict=True)), 4),
        "speed_of_best": round(min(first) / min(times.seconds), 4),
    }


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures hold for."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {"device": name, "torch": torch.__version__}
