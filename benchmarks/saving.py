"""What a step costs while a checkpoint is being written: python benchmarks/saving.py [--rounds 8]

Trains the network of unet_32 (53 million parameters) and saves it again and again. Steps while nothing is written and
steps while the saving thread writes take turns, so that both meet the same machine; a figure is a median. The images
are small, so that many steps fit beside one file. A step itself waits for nothing but the copy in memory. The law:
while a file is written, a step takes at most 1.5 times as long. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from diffusion import Cosine, Epsilon, GaussianDiffusion, Hybrid, LearnedRange, Uniform
from diffusion.data.loader import Batch
from diffusion.training.adamw import AdamW
from diffusion.training.ema import EMA
from diffusion.training.learner import Learner
from diffusion.training.parallel import Replicated, map_tensors
from diffusion.training.saver import Saver
from unet import UNet

MOST = 1.5  # times


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="checkpoints to write")
    parser.add_argument("--quiet", type=int, default=6, help="steps between two of them")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=8, help="of the images, which makes a step shorter, not the file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--place", help="a folder on the disk to write to")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    device = torch.device(chosen.device)
    learner = learning(chosen.size, device)
    batch = Batch(torch.zeros(chosen.batch, 3, chosen.size, chosen.size, device=device), {}, torch.arange(chosen.batch))
    timed(learner, batch)
    with tempfile.TemporaryDirectory(dir=chosen.place) as place:
        found = measured(learner, batch, Path(place), chosen)
    parameters = sum(weight.numel() for weight in learner.model.parameters())
    alone, beside = (statistics.median(found[name]) for name in ("alone", "beside"))
    print(
        f"{parameters / 1e6:.1f} million parameters, a checkpoint of {found['bytes'] / 1e6:.0f} MB; "
        f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    )
    print("                           seconds  slowest  number")
    for name, what in {
        "alone": "a step, nothing written", "beside": "a step beside writing", "copy": "the copy in memory",
        "write": "writing the file",
    }.items():  # fmt: skip
        values = found[name]
        print(f"{what:25}  {statistics.median(values):7.3f}  {max(values):7.3f}  {len(values):6}")
    print(f"a step takes {beside / alone:.2f} times as long while a file is written (at most {MOST})")
    figures = {name: round(statistics.median(found[name]), 4) for name in ("alone", "beside", "copy", "write")}
    print(json.dumps({"parameters": parameters, "bytes": found["bytes"], **figures, "ratio": round(beside / alone, 3)}))
    sys.exit(1 if beside > MOST * alone else 0)


def learning(size: int, device: torch.device) -> Learner:
    """The network of unet_32 in training as the paper trains it, one average beside."""
    network = UNet(
        image_size=size, in_channels=3, out_channels=6, base_channels=128, channel_mult=(1, 2, 2, 2),
        blocks_per_level=3, attention_resolutions=(size // 2, size // 4), heads=4, dropout=0.3,
    )  # fmt: skip
    parallel = Replicated(network, device)
    return Learner(
        parallel,
        GaussianDiffusion(
            steps=1000, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid(vlb_weight=0.001)
        ),
        optimizer=AdamW(network.parameters(), lr=1e-4),
        schedule_sampler=Uniform(),
        ema=EMA(network, (0.9999,)),
    )


def timed(learner: Learner, batch: Batch) -> float:
    """Seconds of one step."""
    begun = time.perf_counter()
    learner.step(batch, 1.0)
    if batch.x_0.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def measured(learner: Learner, batch: Batch, place: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each kind; a step that began beside the writing and ended after it counts as neither."""
    found: dict[str, Any] = {"alone": [], "beside": [], "copy": [], "write": []}
    done = threading.Event()

    def written(path: Path, _: int) -> None:
        found["write"].append(time.perf_counter() - begun)
        found["bytes"] = path.stat().st_size
        done.set()

    saver = Saver(place, keep=1, keep_every=None, on_write=written)
    for _ in range(chosen.rounds):
        found["alone"] += [timed(learner, batch) for _ in range(chosen.quiet)]
        state = {**learner.state_dict(), "config": {}}
        begun = time.perf_counter()
        map_tensors(lambda tensor: tensor.detach().to("cpu", copy=True), state)
        found["copy"].append(time.perf_counter() - begun)
        saver.save(state)
        begun = time.perf_counter()
        while not done.is_set():
            seconds = timed(learner, batch)
            if not done.is_set():
                found["beside"].append(seconds)
        done.clear()
    saver.close()
    return found


if __name__ == "__main__":
    main()
