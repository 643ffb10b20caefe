"""For which metrics less is better and for which more, and when two values may be compared."""

import re
from collections.abc import Sequence
from math import isfinite

LOWER = r"loss|mse|vb|bits_per_dim|cross_entropy|fid|kid|frechet|kernel|copies"
HIGHER = r"recognised|accuracy|precision|recall|inception_score|class_score|psnr|images_per_second"
# What makes another number of the above: an uncertainty, a count, the judge's own figure.
ASIDE = r"standard_error|_spread_|^num_|^classifier_accuracy"


def lower_is_better(name: str) -> bool | None:
    """True of a distance or a loss, False of a score, None of a number that is neither, or not known here."""
    if aside(name):
        return None
    if re.search(rf"(^|_)({LOWER})", name):
        return True
    return False if re.search(rf"(^|_)({HIGHER})", name) else None


def aside(name: str) -> bool:
    """True of a number that only accompanies another."""
    return re.search(ASIDE, name) is not None


def best(name: str, values: Sequence[float]) -> float | None:
    """The best finite value; None if there is none, or if no direction is better."""
    lower, finite = lower_is_better(name), [value for value in values if isfinite(value)]
    if lower is None or not finite:
        return None
    return min(finite) if lower else max(finite)


def comparable(measure: tuple[str, str], unlike: Sequence[str]) -> bool:
    """False where runs whose settings are `unlike` have numbers of different things under one name and setting.

    They were found on other images, in another way, or are losses of other objectives.
    """
    if measure == ("loss", ""):
        return not any(key.startswith(("diffusion", "data")) for key in unlike)
    # A flip changes the images to learn from only. What evaluate.py found says itself how: in its setting.
    places = ("data",) if measure[1] else ("data", "train.evaluations.")
    return not any(key.startswith(places) and not key.endswith(".flip") for key in unlike)


def smooth(values: Sequence[float], half: int) -> list[float]:
    """The mean of each value and its neighbours, `half` to either side and fewer towards the ends, so that they stay.

    The nearer weigh more; values that are not finite are left out, and stay as they are.
    """
    means = []
    for i, value in enumerate(values):
        reach = min(half, i, len(values) - 1 - i)
        near = {j: reach + 1 - abs(j - i) for j in range(i - reach, i + reach + 1) if isfinite(values[j])}
        mean = sum(values[j] * weight for j, weight in near.items()) / max(sum(near.values()), 1)
        means.append(mean if isfinite(value) else value)
    return means


def tenths(values: Sequence[float]) -> list[float]:
    """Means over a tenth of the values, the last tenth first: they tell more than single ones of a noisy sequence."""
    size = max(len(values) // 10, 1)
    starts = range(len(values) - size, -1, -max(size // 10, 1))
    return [sum(values[start : start + size]) / size for start in starts]
