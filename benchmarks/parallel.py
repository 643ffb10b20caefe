"""How far one process, two, and micro-batches train apart: python benchmarks/parallel.py [--steps 50]

Trains small digits without dropout: in one process; in micro-batches; under torchrun in two processes, whose networks
are replicas (ddp) or halves (fsdp). Prints the largest difference of any weight and of any average to one process.

Sums of the same numbers in another order differ by rounding, at most about 1e-6 here. Adam divides each gradient by its
own size, so that a weight whose true gradient is 0 and whose gradient is rounding alone, the bias of the keys of
attention, moves by the learning rate either way: such weights have a column of their own, and the law is for the
others. With a large eps, the second half of the table, Adam leaves them where they are, and the law is for all.
Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffusion.runs import checkpoints

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
SETTINGS = (
    "name=run", "device=cpu", "logger.mode=disabled", "data.image_size=8", "train=debug", "train.batch_size=16",
    "train.microbatch=null", "train.anneal_steps=null", "train.preview.every=0", "train.log_every=25",
)  # fmt: skip
HEADS = 2  # of the model; within each, its queries, keys and values follow each other
WAYS: dict[str, tuple[int, tuple[str, ...]]] = {
    "one process": (1, ()),
    "4 micro-batches": (1, ("train.microbatch=4",)),
    "two processes": (2, ()),
    "two processes, fsdp": (2, ("train.parallel=fsdp",)),
}
MOST = {"1e-8": 1e-3, "1e-3": 2e-6}  # by Adam's eps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    chosen = parser.parse_args()
    print("eps   trained in            weights    averages   key biases", flush=True)
    rows, broken = [], False
    with tempfile.TemporaryDirectory() as place:
        for eps in MOST:
            states = {name: trained(Path(place) / eps / name, name, eps, chosen.steps) for name in WAYS}
            for name in list(WAYS)[1:]:
                row = apart(states[name], states["one process"])
                print(f"{eps}  {name:20}  {row['weights']:.2e}   {row['averages']:.2e}   {row['key_biases']:.2e}")
                rows.append({"eps": float(eps), "way": name, **row})
                broken |= max(row["weights"], row["averages"]) > MOST[eps]
    print(json.dumps({"steps": chosen.steps, "apart": rows}))
    sys.exit(1 if broken else 0)


def trained(place: Path, name: str, eps: str, steps: int) -> dict[str, Any]:
    processes, words = WAYS[name]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if processes == 2 else []
    given = [*SETTINGS, *words, f"train.max_steps={steps}", f"train.optimizer.eps={eps}", f"runs='{place}'"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launch, str(TRAIN), *given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return checkpoints.load_checkpoint(place / "run")


def apart(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """The largest difference of two states' weights, of their averages, and of what has no gradient in either."""
    keys, rest = farthest(one["model"], other["model"])
    averages = [farthest(one["ema"][rate], other["ema"][rate]) for rate in other["ema"]]
    keys = max(keys, *(key for key, _ in averages))
    return {"weights": rest, "averages": max(others for _, others in averages), "key_biases": keys}


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> tuple[float, float]:
    """Of the key biases, and of all else."""
    keys = rest = 0.0
    for name, mine in one.items():
        difference = (mine - other[name]).abs()
        if name.endswith("qkv.bias"):
            queries, of_keys, values = difference.view(HEADS, 3, -1).unbind(1)
            keys, difference = max(keys, of_keys.max().item()), torch.stack([queries, values])
        rest = max(rest, difference.max().item())
    return keys, rest


if __name__ == "__main__":
    main()
