"""What logging costs a training run: python benchmarks/logging_cost.py [--pairs 30] [override ...]

Trains the default run, or the one that the overrides describe, in one process: as many steps as lie between two logged
ones with logging, as many without, and so on in turn, so that both meet the same weather. Logging means the running
means, metrics.jsonl, W&B offline and the line on the terminal; without it, none of them. Pictures are logged rarely:
their cost is that of one preview's, without drawing them, over the steps between two previews. Prints a table and, as
its last line, the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hydra import compose, initialize_config_dir

from diffusion.config import build
from diffusion.config.resolvers import register_resolvers
from diffusion.pictures.grid import save_picture
from diffusion.training.loop import Loop
from diffusion.training.running_means import RunningMeans
from diffusion.training.trainer import Run, Trainer

CONF = Path(__file__).parents[1] / "conf"


class Unmeasured(RunningMeans):
    """Running means that nobody takes."""

    def add(self, *_, **__) -> None:
        pass

    def add_value(self, *_, **__) -> None:
        pass


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30, help="how many times to train with logging and without")
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    chosen = parser.parse_args()
    if chosen.pairs < 4:
        parser.error(f"--pairs {chosen.pairs} tells nothing; give 4 or more")
    return chosen


def main() -> None:
    chosen = arguments()
    with tempfile.TemporaryDirectory() as folder, run_in(Path(folder), chosen.overrides) as (trainer, run):
        with ExitStack() as opened:
            loop = Loop(trainer, run, trainer.learner(run), opened)
            train(loop, trainer.log_every, logged=True)  # what only a first time costs
            pairs = [pair(loop, trainer.log_every, logged_first=i % 2 == 0) for i in range(chosen.pairs)]
        found = report(pairs, trainer.log_every)
        found["pictures_percent"] = 100 * pictures(trainer, run, loop.learner.steps_done) / found["step_ms"]
    print(f"a step                      {found['step_ms']:7.1f} ms, {chosen.pairs} pairs of {trainer.log_every} steps")
    print(f"logging, on the clock       {found['clock_percent']:7.2f} % ± {found['clock_error']:.2f}")
    print(f"logging, in time of cores   {found['cores_percent']:7.2f} % ± {found['cores_error']:.2f}")
    print(f"calls at a logged step      {found['calls_percent']:7.2f} %")
    print(f"keeping a preview's pictures{found['pictures_percent']:7.2f} %")
    print(json.dumps(found))


def pair(loop: Loop, steps: int, *, logged_first: bool) -> tuple[Spent, Spent]:
    """With logging and without, either one first."""
    first, second = train(loop, steps, logged=logged_first), train(loop, steps, logged=not logged_first)
    return (first, second) if logged_first else (second, first)


@contextmanager
def run_in(folder: Path, overrides: list[str]) -> Iterator[tuple[Trainer, Run]]:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        wanted = compose(
            "train", ["name=cost", "logger.mode=offline", "logger.group=null", f"runs={folder}", *overrides]
        )
    trainer, run = build.training(wanted, folder)
    run.logger.start(folder, name="cost", config=run.config, resume=False)
    yield trainer, run
    run.logger.finish()


class Spent(NamedTuple):
    """Seconds that some steps took, on the clock and of this process's cores, and of the clock in calls for logging."""

    clock: float
    cores: float
    calls: float


def train(loop: Loop, steps: int, *, logged: bool) -> Spent:
    learner = loop.learner
    learner.averages = RunningMeans() if logged else Unmeasured()
    loop.logged = learner.steps_done
    loop.throughput.begin()
    start, cores = time.perf_counter(), time.process_time()
    for _ in range(steps):
        learner.step(next(loop.stream), 1.0)
        if logged:
            loop.progress.tick(learner.steps_done)
    before = time.perf_counter()
    if logged:
        loop.log()
    end = time.perf_counter()
    return Spent(end - start, time.process_time() - cores, end - before)


def report(pairs: list[tuple[Spent, Spent]], steps: int) -> dict[str, float]:
    """Means of the middle half of all pairs (with logging, without): a neighbour's work spoils some."""
    clock = sorted(100 * (logged.clock / plain.clock - 1) for logged, plain in pairs)
    cores = sorted(100 * (logged.cores / plain.cores - 1) for logged, plain in pairs)
    quarter = len(pairs) // 4
    return {
        "pairs": len(pairs),
        "step_ms": 1000 * statistics.median(plain.clock for _, plain in pairs) / steps,
        "clock_percent": statistics.mean(clock[quarter : len(pairs) - quarter]),
        "clock_error": statistics.stdev(clock) / len(pairs) ** 0.5,
        "cores_percent": statistics.mean(cores[quarter : len(pairs) - quarter]),
        "cores_error": statistics.stdev(cores) / len(pairs) ** 0.5,
        "calls_percent": 100 * statistics.median(logged.calls / plain.clock for logged, plain in pairs),
    }


def pictures(trainer: Trainer, run: Run, step: int) -> float:
    """Milliseconds a step that keeping the pictures of a preview costs."""
    if not trainer.preview.every:
        return 0.0
    pixels = np.random.default_rng(0).integers(0, 255, (500, 500, 3), np.uint8)
    names = ["raw", *(f"ema_{rate}" for rate in trainer.ema_rates), "strip"]
    start = time.perf_counter()
    for name in names:
        save_picture(run.folder / "samples" / f"step_{step:08d}_{name}.png", pixels)
        run.logger.images(step, f"samples/{name}", pixels, name)
    return 1000 * (time.perf_counter() - start) / trainer.preview.every


if __name__ == "__main__":
    main()
