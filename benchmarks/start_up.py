"""How long a command takes to begin: python benchmarks/start_up.py [overrides of train.py] [--rounds 3]

The help of train.py, its refusal of a mistyped setting, and the time until the default run (or that of the overrides)
has written its first training step, each in fresh processes with the files in the disk's cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

TRAIN = Path(__file__).parents[1] / "train.py"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="what you would give to train.py")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_intermixed_args()


def main() -> None:
    chosen = arguments()
    with tempfile.TemporaryDirectory() as runs:
        tried: dict[str, Callable[[int], float]] = {
            "help": lambda turn: until_end(["--help"], code=0),
            "refusal of a setting": lambda turn: until_end(["model.dropuot=1"], code=1),
            "first training step": lambda turn: until_end(
                [*chosen.overrides, f"runs={runs}", f"name=run_{turn}", "train.max_steps=1", "logger.mode=disabled"],
                code=0,
            ),
        }
        times = {name: [try_once(turn) for turn in range(chosen.rounds)] for name, try_once in tried.items()}
    print("                       seconds   best")
    for name, values in times.items():
        print(f"{name:22} {statistics.median(values):7.2f} {min(values):6.2f}")
    medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
    print(json.dumps({"benchmark": "start_up", "overrides": chosen.overrides, "seconds": medians}))


def until_end(words: list[str], *, code: int) -> float:
    """Seconds that `python train.py` takes with these words, to an end with this exit code."""
    since = perf_counter()
    done = subprocess.run([sys.executable, str(TRAIN), *words], capture_output=True, text=True, check=False)
    taken = perf_counter() - since
    if done.returncode != code:
        raise SystemExit(f"start_up: train.py {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return taken


if __name__ == "__main__":
    main()
