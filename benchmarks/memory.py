"""How much memory a training step takes: python benchmarks/memory.py [overrides of train.py] [--batches 8,16,32]

python benchmarks/memory.py experiment=cifar10_hybrid --batches 16 --checkpoint 32,16,8

Each batch size is tried as it is and with the levels of --checkpoint recomputed in backward, each in a fresh process
that takes `--steps` steps. On a CPU the figure is the most memory that the process held beyond what it held once the
libraries were imported (`libraries_gb` in the JSON); on a GPU the most that was allocated. The time is that of the last
step; with a single one, the optimizer's state comes only after the activations are gone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import product

import torch
from race import machine
from recipe import recipe
from train_step import step_of

from diffusion.cli.command import report_errors
from diffusion.compute.flops import elapsed
from diffusion.training.throughput import memory


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="what you would give to train.py")
    parser.add_argument("--batches", type=numbers, default=[8, 16, 32], metavar="N,N,...")
    parser.add_argument("--checkpoint", type=numbers, default=[], metavar="N,N,...", help="levels to recompute")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_intermixed_args()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    chosen = arguments()
    if chosen.alone:
        print(json.dumps(measured(chosen.overrides, chosen.steps)))
        return
    levels = ",".join(map(str, chosen.checkpoint))
    kinds = {"plain": [], **({f"checkpoint {levels}": [f"model.checkpoint=[{levels}]"]} if levels else {})}
    rows = []
    print("batch  recomputed            GB  seconds/step")
    for batch, (kind, extra) in product(chosen.batches, kinds.items()):
        row = in_fresh_process([*chosen.overrides, *extra, f"train.batch_size={batch}"], chosen.steps)
        rows.append({"batch": batch, "kind": kind, **row})
        print(f"{batch:5}  {kind:20} {row['gb']:5.2f} {row['seconds']:13.2f}", flush=True)
    print(json.dumps({"benchmark": "memory", **rows[0]["machine"], "overrides": chosen.overrides, "results": rows}))


def in_fresh_process(overrides: list[str], steps: int) -> dict:
    """What `measured` finds in a process that did nothing before."""
    command = [sys.executable, __file__, *overrides, "--steps", str(steps), "--alone"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def measured(overrides: list[str], steps: int) -> dict:
    before = memory(torch.device("cpu"))
    ours = recipe(overrides)
    step = step_of(ours)
    for _ in range(steps):
        taken = elapsed(step, ours.device)
    used = memory(ours.device) - (0.0 if ours.device.type == "cuda" else before)
    return {"gb": used, "libraries_gb": before, "seconds": taken, "machine": machine(ours.device)}


if __name__ == "__main__":
    with report_errors("memory"):
        main()
