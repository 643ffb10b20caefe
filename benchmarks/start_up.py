"""How long a command takes to begin: python benchmarks/start_up.py [overrides of train.py] [--checkpoint RUN]

The help of train.py, its refusal of a mistyped setting, and the time until the default run (or that of the overrides)
has written its first training step, each in fresh processes with the files in the disk's cache. Of a --checkpoint, the
time until sample.py has written a grid of one image, and one of 64; and, inside a Python that has imported the library,
until `diffusion.load(RUN).draw(1)` has returned.
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

ROOT = Path(__file__).parents[1]
DRAW_ONE = """
import sys, time
import torch, diffusion
from diffusion import load  # whatever is imported at its first use
since = time.perf_counter()
load(sys.argv[1]).draw(1)
print(time.perf_counter() - since)
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="what you would give to train.py")
    parser.add_argument("--checkpoint", metavar="RUN", help="draw from it as well")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_intermixed_args()


def main() -> None:
    chosen = arguments()
    with tempfile.TemporaryDirectory() as runs:
        tried: dict[str, Callable[[int], float]] = {
            "help": lambda turn: until_end("train.py", "--help"),
            "refusal of a setting": lambda turn: until_end("train.py", "model.dropuot=1", code=1),
            "first training step": lambda turn: until_end(
                "train.py",
                *chosen.overrides,
                f"runs={runs}",
                f"name={turn}",
                "train.max_steps=1",
                "train.preview.every=0",
                "logger=none",
            ),
        }
        if chosen.checkpoint:
            draw = "sample.py", f"checkpoint={chosen.checkpoint}"
            tried["a picture"] = lambda turn: until_end(*draw, "num_images=1", f"out={runs}/1_{turn}")
            tried["64 pictures"] = lambda turn: until_end(*draw, f"out={runs}/64_{turn}")
            tried["load and draw(1)"] = lambda turn: float(output("-c", DRAW_ONE, chosen.checkpoint))
        times = {name: [try_once(turn) for turn in range(chosen.rounds)] for name, try_once in tried.items()}
    print("                       seconds   best")
    for name, values in times.items():
        print(f"{name:22} {statistics.median(values):7.2f} {min(values):6.2f}")
    medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
    print(json.dumps({"benchmark": "start_up", "overrides": chosen.overrides, "seconds": medians}))


def until_end(script: str, *words: str, code: int = 0) -> float:
    """Seconds that `python SCRIPT` takes with these words, to an end with this exit code."""
    since = perf_counter()
    output(str(ROOT / script), *words, code=code)
    return perf_counter() - since


def output(*words: str, code: int = 0) -> str:
    """What a fresh Python prints that is started with these words, and ends with this exit code."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise SystemExit(f"start_up: {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
