"""How soon it is good: python benchmarks/time_to_quality.py --original FOLDER --recipe experiment=digits_modern

Trains digits by the released code's own loop, in a checkout of the user's, and by recipes of train.py, a few seconds
each in turns, so that what slows the machine slows all of them alike. Both begin with the same weights and see the same
batches; the seconds are those of training steps and of nothing else. At --marks seconds the averaged weights of the
original are judged, and those of each recipe at its last step, since its rate may have fallen towards it.

What it is judged by: the Frechet distance of 500 drawn images, by the features of a recogniser of real images, beside
that of real test images; the share that is recognised as the class asked for; bits/dim of test images, by the bound.
What the original reached at the last mark, or --target, is the target: a line for each measure says how soon each
recipe reaches it, or its best. --drawing compares seconds to draw 64 images as well. --beside FILE.json adds what an
earlier call measured on this machine. Recipes that differ by train.max_steps alone are one line of the plot.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import torch
from digits_judge import Judge, mean_and_spread
from omegaconf import OmegaConf
from original import Original
from race import machine
from recipe import CONF, Recipe
from torch import Tensor

from diffusion import Ancestral, ContinuousLikelihood, Likelihood, Sampler, Trained
from diffusion.cli.command import report_errors
from diffusion.config import build
from diffusion.config.resolvers import register_resolvers
from diffusion.config.subjects import subject_in_training
from diffusion.data.digits import Digits
from diffusion.data.loader import Batch, batches
from diffusion.evaluation.subject import evenly_spaced
from diffusion.inference.draw import draw_steps
from diffusion.inference.fast_network import make_fast
from diffusion.pictures.plots import quiet_matplotlib
from diffusion.process.respacing import kept_steps
from diffusion.samplers.sampler import draw
from diffusion.training.ema import WithWeights
from diffusion.training.settled_precision import settle_precision
from diffusion.training.trainer import Run, Trainer, rate_factor
from unet import load_released

TURN = 5.0  # seconds
DRAWN = 64  # images, whose seconds are taken
MEASURES: dict[str, Callable[..., Any]] = {"frechet": min, "recognised": max, "bits_per_dim": min}
"""By name, which of two values is the better one"""
LABELS = {"frechet": "Fréchet distance", "recognised": "recognised as the digit asked for", "bits_per_dim": "bits/dim"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", metavar="FOLDER", help="a checkout of improved-diffusion")
    parser.add_argument("--recipe", action="append", default=[], metavar="OVERRIDES", help="of train.py, in one string")
    parser.add_argument("--marks", type=float, nargs="+", default=[100, 200, 400], help="seconds of the original")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--target", nargs="+", default=[], metavar="MEASURE=VALUE", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--images", type=int, default=500, help="how many are drawn")
    parser.add_argument("--measured", type=int, default=100, help="how many test images' bits/dim")
    parser.add_argument("--drawing", action="store_true", help="draw by 250 steps of the original as well")
    parser.add_argument("--beside", metavar="FILE", help="the points of an earlier call, as it wrote them")
    parser.add_argument("--out", default="time_to_quality")
    chosen = parser.parse_args()
    if not chosen.original and not chosen.recipe:
        raise ValueError("nothing is to be trained; give --original FOLDER, or --recipe 'OVERRIDES of train.py'")
    if min(chosen.marks) <= 0:
        raise ValueError(f"--marks {min(chosen.marks):g} is no time to train; give seconds above 0")
    return chosen


class Point(NamedTuple):
    """What was found after so many seconds: of training, or of drawing 64 images, in so many steps."""

    name: str
    seed: int
    seconds: float
    steps: int
    found: dict[str, float]


class Training:
    """A recipe of train.py that is trained step by step, its seconds counted."""

    def __init__(self, name: str, overrides: list[str], seed: int) -> None:
        self.name, self.seconds, self.steps = name, 0.0, 0
        self.trainer, self.run = composed([*overrides, f"seed={seed}"])
        if self.trainer.max_steps is None:
            raise ValueError(f"--recipe '{name}' has no end, at which it is judged; add train.max_steps=1000")
        begun = time.perf_counter()
        settle_precision(self.trainer, self.run, before=None)
        self.seconds += time.perf_counter() - begun
        self.begin()
        self.stream = self.batches()

    def batches(self) -> Iterator[Batch]:
        """Those of training, from the first on."""
        trainer, run = self.trainer, self.run
        return batches(run.images, run.conditions, batch_size=trainer.batch_size, seed=run.seed)

    def begin(self) -> None:
        self.learner = self.trainer.learner(self.run)

    def step(self) -> None:
        trainer = self.trainer
        factor = rate_factor(
            self.steps, warmup_steps=trainer.warmup_steps, anneal_steps=trainer.anneal_steps,
            decay_steps=trainer.decay_steps,
        )  # fmt: skip
        self.learner.step(next(self.stream), factor)

    def advance(self, marks: list[float]) -> bool:
        """Train for a turn, or to the next of the `marks` or the end; whether that is reached."""
        until = min([self.seconds + TURN, *(mark for mark in marks if mark > self.seconds)])
        while self.seconds < until:
            begun = time.perf_counter()
            self.step()
            self.seconds += time.perf_counter() - begun
            self.steps += 1
            if self.steps == self.last:
                return True
        return until in marks

    @property
    def last(self) -> int | None:
        return self.trainer.max_steps

    def trained(self) -> Trained:
        """With the slowest of its averages."""
        weights = list(self.learner.weights().values())[-1]
        return self.run.trained(WithWeights(self.run.model, weights).eval(), step=self.steps)

    @property
    def drawn_by(self) -> Sampler:
        """What the time of drawing is measured of."""
        return self.run.sampler

    def drawing(self, model: Trained, y: Tensor) -> Callable[[], object]:
        """What draws an image of each class in y (N,)."""
        fast = make_fast(model, compile=False, precision="float32", batch_size=len(y))
        return lambda: draw(draw_steps(fast, self.drawn_by, range(len(y)), seed=0, condition={"y": y}))


class OriginalTraining(Training):
    """The recipe of the paper at a steady rate, with the same network and batches, in the loop of the original."""

    def __init__(self, checkout: str, seed: int) -> None:
        self.checkout = checkout
        super().__init__("original", ["train=constant_rate", "sampler=ancestral"], seed)

    def begin(self) -> None:
        run, first = self.run, next(self.batches())
        config = OmegaConf.create(run.config)
        self.ours = Recipe(config, run.device, run.model, run.diffusion, self.trainer, first.x_0, first.condition)
        self.loop = Original(self.checkout, self.ours).training(lr=config.train.optimizer.lr)

    def step(self) -> None:
        batch = next(self.stream)
        self.loop.run_step(batch.x_0, batch.condition)
        self.loop.step += 1

    @property
    def last(self) -> None:
        return None

    def trained(self) -> Trained:
        averaged = copy.deepcopy(self.run.model)
        load_released(averaged, self.loop._master_params_to_state_dict(self.loop.ema_params[-1]))
        return self.run.trained(averaged.eval(), step=self.steps)

    @property
    def drawn_by(self) -> Sampler:
        return Ancestral(steps=250)

    def drawing(self, model: Trained, y: Tensor) -> Callable[[], object]:
        kept = kept_steps(self.run.diffusion.process.bins, self.drawn_by.steps)
        theirs = Original(self.checkout, self.ours._replace(network=model.network, condition={"y": y}), kept=kept)
        return lambda: list(theirs.sampling(torch.randn(len(y), *self.run.images.shape)))


def composed(overrides: list[str]) -> tuple[Trainer, Run]:
    """What train.py would train."""
    register_resolvers()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = hydra.compose("train", [*overrides, "name=benchmark", "logger=none", "device=cpu"])
    return build.training(config, Path())


class Judges:
    """Draws digits with a model, and measures them and its bits/dim."""

    def __init__(self, images: int, measured: int) -> None:
        self.judge, self.y, self.measured = Judge(), torch.arange(images) % 10, measured
        self.real = {"frechet": self.judge.of_real(images), "recognised": self.judge.accuracy}

    def __call__(self, model: Trained, sampler: Sampler, *, bits: bool = True) -> dict[str, float]:
        x = self.drawn(model, sampler)
        found = {
            "frechet": self.judge.distance(x),
            "recognised": self.judge.recognised(x.clamp(-1, 1), self.y[: len(x)]),
        }
        return {**found, "bits_per_dim": self.bits_per_dim(model)} if bits else found

    def drawn(self, model: Trained, sampler: Sampler) -> Tensor:
        parts = torch.arange(len(self.y)).split(100)
        told = [{"y": self.y[part]} for part in parts]
        both = zip(parts, told, strict=True)
        return torch.cat([draw(draw_steps(model, sampler, p.tolist(), seed=0, condition=y)) for p, y in both])

    @torch.no_grad()
    def bits_per_dim(self, model: Trained) -> float:
        """Of test images, evenly spread, by the bound of all steps of a chain, or of a process without steps."""
        subject = subject_in_training(model.config["data"], Digits(), batch_size=100, seed=0)(model)
        numbers, process = evenly_spaced(len(subject.images), self.measured), model.diffusion.process
        if process.length is None:
            bounds = [bound.total for bound in ContinuousLikelihood().bounds(subject, numbers)]
        else:
            bounds = [bound.total for bound in Likelihood().bounds(subject, process, numbers)]
        return torch.cat(bounds).mean().item()


def contestants(chosen: argparse.Namespace, seed: int) -> list[Training]:
    recipes = [Training(words or "train.py", words.split(), seed) for words in chosen.recipe]
    return [*([OriginalTraining(chosen.original, seed)] if chosen.original else []), *recipes]


def train_all(chosen: argparse.Namespace, seed: int, judges: Judges) -> Iterator[Point]:
    """All of one seed in turns, each judged where it is due."""
    training = contestants(chosen, seed)
    while training:
        for one in list(training):
            marks = chosen.marks if one.last is None else []
            if not one.advance(marks):
                continue
            model, ends = one.trained(), not marks or one.seconds >= max(marks)
            name = f"{one.name}, {max(m for m in marks if m <= one.seconds):g} s" if marks else one.name
            yield Point(name, seed, one.seconds, one.steps, judges(model, one.run.sampler))
            if ends:
                training.remove(one)
                if chosen.drawing:
                    yield drawing(one, model, judges, seed)


def drawing(one: Training, model: Trained, judges: Judges, seed: int) -> Point:
    """How good the images are that it draws, and how many seconds 64 of them take."""
    draw_them = one.drawing(model, torch.arange(DRAWN) % 10)
    begun = time.perf_counter()
    draw_them()
    seconds = time.perf_counter() - begun
    found = judges(model, one.drawn_by, bits=False)
    return Point(f"{one.name}, drawing {DRAWN} images", seed, seconds, one.drawn_by.steps, found)


class Mean(NamedTuple):
    """Of the points of one name: mean and spread over the seeds."""

    seconds: tuple[float, float]
    steps: float
    found: dict[str, tuple[float, float]]


def means(points: list[Point]) -> dict[str, Mean]:
    groups = {name: [p for p in points if p.name == name] for name in dict.fromkeys(point.name for point in points)}
    return {
        name: Mean(
            mean_and_spread([point.seconds for point in group]),
            mean_and_spread([point.steps for point in group])[0],
            {measure: mean_and_spread([point.found[measure] for point in group]) for measure in group[0].found},
        )
        for name, group in groups.items()
    }


def table(found: dict[str, Mean]) -> str:
    """A line of Markdown for each name."""
    lines = [f"| what | seconds | steps | {' | '.join(MEASURES)} |", f"|---|---|---|{'---|' * len(MEASURES)}"]
    for name, mean in found.items():
        cells = [shown(measure, *mean.found[measure]) if measure in mean.found else "" for measure in MEASURES]
        lines.append(
            f"| {name} | {mean.seconds[0]:.1f} ± {mean.seconds[1]:.1f} | {mean.steps:.0f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def shown(measure: str, value: float, spread: float) -> str:
    return f"{value:.1%} ± {spread:.1%}" if measure == "recognised" else f"{value:.3f} ± {spread:.3f}"


def verdicts(found: dict[str, Mean], targets: dict[str, float], recipes: list[str]) -> Iterator[str]:
    """For each target, how soon the quickest of the recipes reaches it, or how near the best of them comes."""
    of_recipes = {name: found[name] for name in recipes}
    for measure, target in targets.items():
        better = MEASURES[measure]
        reached = {n: m for n, m in of_recipes.items() if better(m.found[measure][0], target) == m.found[measure][0]}
        if reached:
            name = min(reached, key=lambda name: reached[name].seconds[0])
            yield f"{measure} {target:.3f}: reached in {reached[name].seconds[0]:.0f} s by {name}"
        else:
            best = better(of_recipes.values(), key=lambda mean: mean.found[measure][0]).found[measure]
            yield f"{measure} {target:.3f}: not reached; the best is {shown(measure, *best)}"


def plot(found: dict[str, Mean], real: dict[str, float], path: Path) -> None:
    """A panel a measure, against the seconds of training: a line of the original and of each recipe."""
    quiet_matplotlib()
    from matplotlib.figure import Figure

    lines: dict[str, list[Mean]] = {}
    for name, mean in sorted(found.items(), key=lambda item: item[1].seconds[0]):
        if "bits_per_dim" in mean.found:
            recipe = re.sub(r" *train\.max_steps=\d+", "", name.partition(", ")[0])
            lines.setdefault(recipe or "python train.py", []).append(mean)
    picture = Figure(figsize=(11, 3.4), dpi=130, layout="constrained")
    for axes, (measure, label) in zip(picture.subplots(1, len(LABELS)), LABELS.items(), strict=True):
        for name, points in sorted(lines.items()):
            values, spreads = zip(*(point.found[measure] for point in points), strict=True)
            seconds = [point.seconds[0] for point in points]
            axes.errorbar(seconds, values, yerr=spreads, marker="o", markersize=4, capsize=2, label=name)
        if measure in real:
            axes.axhline(real[measure], color="black", linestyle=":", linewidth=1, label="real test images")
        axes.set_title(label, fontsize=10)
        axes.set_xlabel("seconds of training, two cores")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    picture.axes[0].legend(fontsize=8, frameon=False)
    picture.savefig(path)


def main() -> None:
    chosen = arguments()
    targets, judges, points = given_targets(chosen.target), Judges(chosen.images, chosen.measured), []
    of_real = ", ".join(f"{measure} {value:.3f}" for measure, value in judges.real.items())
    print(f"{chosen.images} images; real test images: {of_real}", flush=True)
    for seed in chosen.seeds:
        for point in train_all(chosen, seed, judges):
            points.append(point)
            measured = ", ".join(f"{measure} {value:.3f}" for measure, value in point.found.items())
            print(f"seed {seed}  {point.name}: {point.seconds:.1f} s, {point.steps} steps; {measured}", flush=True)
    if chosen.beside:
        points = [Point(**point) for point in json.loads(Path(chosen.beside).read_text())["points"]] + points
    found = means(points)
    print(table(found))
    originals = [mean for name, mean in found.items() if name.endswith(" s") and name.startswith("original, ")]
    if originals and not targets:
        targets = {m: value for m, (value, _) in max(originals, key=lambda mean: mean.seconds[0]).found.items()}
    if recipes := [words or "train.py" for words in chosen.recipe]:
        print("\n".join(verdicts(found, targets, recipes)))
    record = {"real": judges.real, "targets": targets, **machine(torch.device("cpu"))}
    record["points"] = [point._asdict() for point in points]
    Path(f"{chosen.out}.json").write_text(json.dumps(record, indent=1) + "\n")
    plot(found, judges.real, Path(f"{chosen.out}.png"))
    print(f"Look at {chosen.out}.png")


def given_targets(words: list[str]) -> dict[str, float]:
    """Values by measure, of MEASURE=VALUE."""
    targets = {}
    for word in words:
        measure, _, value = word.partition("=")
        try:
            targets[measure] = float(value)
        except ValueError:
            measure = ""
        if measure not in MEASURES:
            raise ValueError(f"--target {word} is no target; give one such as frechet=0.07, of {', '.join(MEASURES)}")
    return targets


if __name__ == "__main__":
    with report_errors("time_to_quality"):
        main()
