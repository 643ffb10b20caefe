"""How soon it is good: python benchmarks/time_to_quality.py --original FOLDER --recipe experiment=digits_modern

Trains by the released code's own loop, in a checkout of the user's, and by recipes of train.py, a few seconds each in
turns, so that what slows the machine slows all of them alike. Both begin with the same weights and see the same
batches; the seconds are those of training steps and of nothing else. --common 'data=cifar10 ...' are words of train.py
for all of them: other labelled images than digits, another network. At --marks seconds the averaged weights of the
original are judged, and those of each recipe at its last step, since its rate may have fallen towards it.

What it is judged by: the Frechet distance of 500 drawn images, by the features of a recogniser of real images, beside
that of real test images; the share that is recognised as the class asked for; bits/dim of test images, by the bound.
What the original reached at the last mark, or --target, is the target: a line for each measure says how soon each
recipe reaches it, or its best. --drawing compares seconds to draw 64 images as well. --beside FILE.json adds what an
earlier call measured on this machine. Recipes that differ by train.max_steps alone are one line of the plot. Beside the
table lie the first images that each one drew.
"""

from __future__ import annotations

import diffusion.cli  # as in train.py before torch: it settles how threads wait  # noqa: F401

# isort: split
import argparse
import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from quality_judge import Judge
from quality_points import MEASURES, Point, given_targets, means, plot, table, verdicts
from race import machine
from timed_training import OriginalTraining, Training, composed

from diffusion import Trained
from diffusion.cli.command import report_errors
from diffusion.runs.naming import slugify

DRAWN = 64  # images, whose seconds are taken
JUDGED = ("images", "measured", "levels", "common", "judge")  # what points must share to stand in one table


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", metavar="FOLDER", help="a checkout of improved-diffusion")
    parser.add_argument("--recipe", action="append", default=[], metavar="OVERRIDES", help="of train.py, in one string")
    parser.add_argument("--common", default="", metavar="OVERRIDES", help="of train.py, for all, the original too")
    parser.add_argument("--marks", type=float, nargs="+", default=[100, 200, 400], help="seconds of the original")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--target", nargs="+", default=[], metavar="MEASURE=VALUE", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--images", type=int, default=500, help="how many are drawn")
    parser.add_argument("--measured", type=int, default=100, help="how many test images' bits/dim")
    parser.add_argument("--levels", type=int, help="bits/dim at so many levels an image, and not at all steps")
    parser.add_argument("--drawing", action="store_true", help="draw by 250 steps of the original as well")
    parser.add_argument("--beside", metavar="FILE", help="the points of an earlier call, as it wrote them")
    parser.add_argument("--out", default="time_to_quality")
    chosen = parser.parse_args()
    chosen.recipe = [" ".join(words.split()) for words in chosen.recipe]
    if not chosen.original and not chosen.recipe:
        raise ValueError("nothing is to be trained; give --original FOLDER, or --recipe 'OVERRIDES of train.py'")
    if chosen.target and not chosen.recipe:
        raise ValueError("--target is for recipes to reach; give --recipe 'OVERRIDES of train.py' too")
    for name, given in (("--marks", min(chosen.marks)), ("--measured", chosen.measured), ("--levels", chosen.levels)):
        if given is not None and given <= 0:
            raise ValueError(f"{name} {given:g} must be above 0")
    for name, several in (("--recipe", chosen.recipe), ("--seeds", chosen.seeds)):
        if twice := [one for one in several if several.count(one) > 1]:
            raise ValueError(f"{name} {twice[0]} is given twice; give each once")
    return chosen


def contestants(chosen: argparse.Namespace, seed: int, judge: Judge) -> list[Training]:
    """All that are trained; ValueError if one cannot be judged, or not beside the others."""
    common = shlex.split(chosen.common)
    training: list[Training] = [OriginalTraining(chosen.original, common, seed)] if chosen.original else []
    training += [Training(words or "train.py", [*common, *shlex.split(words)], seed) for words in chosen.recipe]
    for one in training:
        try:
            judge.check(one.run)
        except ValueError as error:
            raise ValueError(f"{one.name} cannot be judged: {error}") from None
    if chosen.levels is None and len({one.run.diffusion.process.length is None for one in training}) > 1:
        raise ValueError(
            "the bits/dim of chains and of processes without steps are of two bounds; give --levels 64 to compare both "
            "by the latter"
        )
    return training


def train_all(chosen: argparse.Namespace, seed: int, judge: Judge) -> Iterator[Point]:
    """All of one seed in turns, each judged where it is due."""
    training = contestants(chosen, seed, judge)
    while training:
        for one in list(training):
            marks = chosen.marks if one.last is None else []
            if not one.advance(marks):
                continue
            model = one.trained()
            name = f"{one.name}, {max(m for m in marks if m <= one.seconds):g} s" if marks else one.name
            found = judge(model, one.run.sampler, picture_of(chosen, name, seed))
            found["bits_per_dim"] = judge.bits_per_dim(model)
            yield Point(name, seed, one.seconds, one.steps, found)
            if not marks or one.seconds >= max(marks):
                training.remove(one)
                if chosen.drawing:
                    yield drawing(one, model, judge, chosen, seed)


def drawing(one: Training, model: Trained, judge: Judge, chosen: argparse.Namespace, seed: int) -> Point:
    """How good the images are that it draws, and how many seconds 64 of them take."""
    draw_them = one.drawing(model, judge.asked(model, DRAWN))
    begun = time.perf_counter()
    draw_them()
    seconds = time.perf_counter() - begun
    name = f"{one.name}, drawing {DRAWN} images"
    found = judge(model, one.drawn_by, picture_of(chosen, name, seed))
    return Point(name, seed, seconds, one.drawn_by.steps, found)


def picture_of(chosen: argparse.Namespace, name: str, seed: int) -> Path:
    return Path(f"{chosen.out}_{slugify(f'{name} seed {seed}')}.png")


def earlier_points(chosen: argparse.Namespace, judged: dict[str, Any]) -> list[Point]:
    """Those of --beside; ValueError for another file, or if they were judged otherwise."""
    if chosen.beside is None:
        return []
    try:
        record = json.loads(Path(chosen.beside).read_text())
        points = [Point(**point) for point in record["points"]]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"--beside {chosen.beside} holds no points; give a .json that this benchmark wrote") from None
    for name in JUDGED:
        if record.get(name) != judged[name]:
            raise ValueError(
                f"--beside {chosen.beside} was judged with {name} {record.get(name)!r}, not {judged[name]!r}; measure "
                "both alike"
            )
    return points


def main() -> None:
    chosen = arguments()
    targets, (_, run) = given_targets(chosen.target), composed(shlex.split(chosen.common))
    judge = Judge(run, images=chosen.images, measured=chosen.measured, levels=chosen.levels)
    record: dict[str, Any] = {
        "real": judge.real, "targets": targets, **machine(torch.device("cpu")), "images": chosen.images,
        "measured": len(judge.measured), "levels": chosen.levels, "common": chosen.common,
        "judge": judge.extractor.fingerprint,
    }  # fmt: skip
    points = earlier_points(chosen, record)
    of_real = ", ".join(f"{measure} {value:.3f}" for measure, value in judge.real.items())
    print(f"{chosen.images} images, bits/dim of {len(judge.measured)}; real test images: {of_real}", flush=True)
    for seed in chosen.seeds:
        for point in train_all(chosen, seed, judge):
            points.append(point)
            measured = ", ".join(f"{measure} {value:.3f}" for measure, value in point.found.items())
            print(f"seed {seed}  {point.name}: {point.seconds:.1f} s, {point.steps} steps; {measured}", flush=True)
            record["points"] = [point._asdict() for point in points]
            Path(f"{chosen.out}.json").write_text(json.dumps(record, indent=1) + "\n")
    found = means(points)
    print(table(found))
    originals = [mean for name, mean in found.items() if name.endswith(" s") and name.startswith("original, ")]
    if originals and not targets:
        targets = {m: value for m, (value, _) in max(originals, key=lambda mean: mean.seconds[0]).found.items()}
    if recipes := [words or "train.py" for words in chosen.recipe]:
        print("\n".join(verdicts(found, targets, recipes)))
    plot(found, judge.real, Path(f"{chosen.out}.png"))
    print(f"Look at {chosen.out}.png")


if __name__ == "__main__":
    with report_errors("time_to_quality"):
        main()
