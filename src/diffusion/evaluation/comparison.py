"""The measures that compare what is seen in drawn images with what is seen in real ones, and how they are written."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion.compute.randomness import generator
from diffusion.evaluation import measures
from diffusion.evaluation.features import Extracted
from diffusion.evaluation.measures import Value


def comparison(
    drawn: Extracted, real: Tensor, *, neighbours: int, place: torch.device | str
) -> dict[str, Callable[[], Value]]:
    """How to compute each measure of drawn images beside the features of real ones (M, D).

    Precision and recall take as many images of either, as in the paper: balls shrink as images grow in number. Those of
    the larger set are chosen by chance.
    """
    x, y = drawn.features.double().to(place), real.double().to(place)
    count = min(len(x), len(y))
    some_x, some_y = random_subset(x, count), random_subset(y, count)
    ways: dict[str, Callable[[], Value]] = {
        "frechet_distance": lambda: Value(measures.frechet_distance(measures.gaussian(x), measures.gaussian(y))),
        "kernel_distance": lambda: measures.kernel_distance_of_subsets(x, y),
        "precision": lambda: Value(measures.coverage(some_x, some_y, neighbours=neighbours)),
        "recall": lambda: Value(measures.coverage(some_y, some_x, neighbours=neighbours)),
    }
    if (logits := drawn.logits) is not None:
        ways["class_score"] = lambda: measures.class_score(logits)
    return ways


def random_subset(features: Tensor, count: int) -> Tensor:
    """All rows of features (N, D) in order if there are no more than `count`, else as many by chance, always the same.

    Evenly spread ones would show few classes: images are often drawn class by class in turn.
    """
    if len(features) <= count:
        return features
    chosen = torch.randperm(len(features), generator=generator("precision and recall"))[:count]
    return features[chosen.to(features.device)]


def metric_names(found: dict[str, Value], what: str) -> dict[str, float]:
    """The values by their full names."""
    means = {f"{metric}_{what}": value.mean for metric, value in found.items()}
    spreads = {f"{metric}_spread_{what}": value.spread for metric, value in found.items() if value.spread is not None}
    return means | spreads


def format_values(found: dict[str, Value]) -> str:
    return ", ".join(f"{metric.replace('_', ' ')} {format_value(value)}" for metric, value in found.items())


def format_value(value: Value) -> str:
    return f"{value.mean:.4g}" if value.spread is None else f"{value.mean:.4g} +- {value.spread:.2g}"
