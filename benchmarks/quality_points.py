"""What was found of several recipes at several times and seeds: a table, a plot, and who reached what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from digits_judge import mean_and_spread

from diffusion.pictures.plots import quiet_matplotlib

MEASURES: dict[str, Callable[..., Any]] = {"frechet": min, "recognised": max, "bits_per_dim": min}
"""By name, which of two values is the better one"""
LABELS = {"frechet": "Fréchet distance", "recognised": "recognised as the class asked for", "bits_per_dim": "bits/dim"}


class Point(NamedTuple):
    """What was found after so many seconds: of training, or of drawing 64 images, in so many steps."""

    name: str
    seed: int
    seconds: float
    steps: int
    found: dict[str, float]


class Mean(NamedTuple):
    """Of the points of one name: mean and spread over the seeds, how many there are."""

    seeds: int
    seconds: tuple[float, float]
    steps: float
    found: dict[str, tuple[float, float]]


def means(points: list[Point]) -> dict[str, Mean]:
    groups = {name: [p for p in points if p.name == name] for name in dict.fromkeys(point.name for point in points)}
    return {
        name: Mean(
            len(group),
            mean_and_spread([point.seconds for point in group]),
            mean_and_spread([point.steps for point in group])[0],
            {measure: mean_and_spread([point.found[measure] for point in group]) for measure in group[0].found},
        )
        for name, group in groups.items()
    }


def table(found: dict[str, Mean]) -> str:
    """A line of Markdown for each name."""
    lines = [
        f"| what | seeds | seconds | steps | {' | '.join(MEASURES)} |",
        f"|---|---|---|---|{'---|' * len(MEASURES)}",
    ]
    for name, mean in found.items():
        cells = [shown(measure, *mean.found[measure]) if measure in mean.found else "" for measure in MEASURES]
        taken = f"{mean.seconds[0]:.1f} ± {mean.seconds[1]:.1f}"
        lines.append(f"| {name} | {mean.seeds} | {taken} | {mean.steps:.0f} | {' | '.join(cells)} |")
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
            lines.setdefault(line_of(name), []).append(mean)
    picture = Figure(figsize=(11, 3.4), dpi=130, layout="constrained")
    for axes, (measure, label) in zip(picture.subplots(1, len(LABELS)), LABELS.items(), strict=True):
        for name, points in sorted(lines.items()):
            values, spreads = zip(*(point.found[measure] for point in points), strict=True)
            seconds = [point.seconds[0] for point in points]
            axes.errorbar(seconds, values, yerr=spreads, marker="o", markersize=4, capsize=2, label=name)
        if measure in real:
            axes.axhline(real[measure], color="black", linestyle=":", linewidth=1, label="real test images")
        axes.set_title(label, fontsize=10)
        axes.set_xlabel("seconds of training")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    picture.axes[0].legend(fontsize=8, frameon=False)
    picture.savefig(path)


def line_of(name: str) -> str:
    """What a point's line is called: the original at any time, a recipe of any length."""
    return re.sub(r"(^| )train\.max_steps=\d+", "", name.partition(", ")[0]).strip() or "train.py"


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
