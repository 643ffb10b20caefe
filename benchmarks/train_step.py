"""How fast a training step is: python benchmarks/train_step.py [overrides of train.py] [--b 'more overrides']

python benchmarks/train_step.py model=unet_64 data.image_size=32 --b train.precision=bf16 --b train.compile=true

The first row is the recipe of the overrides, each --b another one with its overrides added, and --original the
released code on the same weights and images, if its loss agrees. All take steps in turns, on images of chance; a
step is all that training does between two batches. FLOPs count the convolutions and matrix products of the network,
forward and backward, attention included; `of peak` is their share of the speed of one large matrix product, measured
in the same rounds. `speed` compares with the first row. On a GPU, `GB` is the most memory in use, all rows' weights
included, and --profile prints the ten kernels that took the most time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from original import Original, require_same
from race import Contestant, machine, race, report
from recipe import Recipe, recipe

from diffusion.cli.command import report_errors
from diffusion.compute.flops import TRAINING
from diffusion.data.loader import Batch


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="what you would give to train.py")
    parser.add_argument("--b", action="append", default=[], metavar="OVERRIDES", help="another recipe to compare with")
    parser.add_argument("--original", metavar="FOLDER", help="a checkout of improved-diffusion")
    parser.add_argument("--original-fp16", action="store_true", help="the checkout's own fp16 as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of each in a round")
    parser.add_argument("--profile", action="store_true")
    return parser.parse_intermixed_args()


def main() -> None:
    chosen = arguments()
    ours = recipe(chosen.overrides)
    contestants = [ours_training("ours", ours)]
    contestants += [ours_training(extra, recipe([*chosen.overrides, *extra.split()])) for extra in chosen.b]
    if chosen.original:
        theirs = recipe(chosen.overrides)
        contestants.append(original_training("original", theirs, chosen.original))
        if chosen.original_fp16:
            contestants.append(original_training("original, fp16", theirs, chosen.original, precision="fp16"))
    times, peaks = race(contestants, ours.device, rounds=chosen.rounds, steps=chosen.steps)
    report("train_step", contestants, times, peaks, **machine(ours.device), overrides=chosen.overrides)
    if chosen.profile:
        print(slowest(contestants[0], ours.device))


def ours_training(name: str, ours: Recipe) -> Contestant:
    return Contestant(name, step_of(ours), len(ours.x_0), TRAINING * ours.flops, ours.trainer.precision)


def step_of(ours: Recipe) -> Callable[[], None]:
    """One step of training, each on the same images, as if they came one after the other."""
    learner, size, done = ours.trainer.learner(ours.run()), len(ours.x_0), 0

    def step() -> None:
        nonlocal done
        learner.step(Batch(ours.x_0, ours.condition, torch.arange(done, done + size)), 1.0)
        done += size

    return step


def original_training(name: str, ours: Recipe, checkout: str, *, precision: str = "float32") -> Contestant:
    """Theirs, after a look at whether it computes the same."""
    theirs = Original(checkout, ours)
    require_same("the losses, in parts of their size,", theirs.difference())
    loop = theirs.training(fp16=precision == "fp16")
    return Contestant(
        name, lambda: loop.run_step(ours.x_0, ours.condition), len(ours.x_0), TRAINING * ours.flops, precision
    )


def slowest(contestant: Contestant, device: torch.device) -> str:
    """The ten operations that took the most time of one step, on the device itself."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        contestant.step()
    key = f"self_{device.type}_time_total"
    return profile.key_averages().table(sort_by=key, row_limit=10, max_name_column_width=60)


if __name__ == "__main__":
    with report_errors("train_step"):
        main()
