"""Formulas that compare sets of features (N, D), drawn and real, in float64; and how their values are written."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.compute.randomness import generator

SUBSETS = 100
SUBSET = 1000
SCORE_PARTS = 10
FEWEST_IN_PART = 50
ROWS = 1024


class Value(NamedTuple):
    """A measured value and, where it is a mean over parts of the images, its standard deviation over them."""

    mean: float
    spread: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.spread is None else f"{self.mean:.4g} +- {self.spread:.2g}"


class Gaussian(NamedTuple):
    """The normal distribution of mean (D,) and covariance root' root (D, D); root is (min(N, D), D)."""

    mean: Tensor
    root: Tensor


def gaussian(features: Tensor) -> Gaussian:
    """The normal distribution with the mean and the covariance of features (N, D), N > 1."""
    features = features.double()
    mean = features.mean(0)
    # By QR the covariance is never formed, and no root is taken of an eigenvalue that rounding made negative.
    return Gaussian(mean, torch.linalg.qr(features - mean, mode="r").R / (len(features) - 1) ** 0.5)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)), m and A, B the means and covariances (Heusel et al. 2017, eq. 6).

    With A = R'R and B = S'S, the trace of the last root is the sum of the singular values of R S'.
    """
    means = (a.mean - b.mean).square().sum()
    common = torch.linalg.svdvals(a.root @ b.root.T).sum()
    return (means + a.root.square().sum() + b.root.square().sum() - 2 * common).item()


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of the squared MMD under (x.y / D + 1)^3 (Binkowski et al. 2018, eq. 4): 0 on average for
    sets of one distribution, and so now and then below it."""
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / x.shape[1] + 1) ** 3

    def mean_of_pairs(a: Tensor) -> Tensor:
        k, n = kernel(a, a), len(a)
        return (k.sum() - k.trace()) / (n * (n - 1))

    return (mean_of_pairs(x) + mean_of_pairs(y) - 2 * kernel(x, y).mean()).item()


def kernel_distance_of_subsets(x: Tensor, y: Tensor) -> Value:
    """The mean of `kernel_distance` over 100 subsets of at most 1000, and no more than half, of either set."""
    size = min(SUBSET, len(x) // 2, len(y) // 2)
    chance = generator("kernel distance")
    chosen = [[torch.randperm(len(z), generator=chance)[:size].to(z.device) for z in (x, y)] for _ in range(SUBSETS)]
    values = torch.tensor([kernel_distance(x[i], y[j]) for i, j in chosen], dtype=torch.float64)
    return Value(values.mean().item(), values.std(correction=0).item())


def class_score(logits: Tensor, parts: int | None = None) -> Value:
    """exp of the mean KL(p(y|x) || p(y)) over the images of logits (N, classes), in each of ten parts: from 1, all look
    alike, to the number of classes, all are plainly of one and each as often (Salimans et al. 2016).

    A part of n images cannot reach beyond n, so there are fewer parts where they would have less than 50, unless so
    many `parts` are asked for.
    """
    count = max(1, min(SCORE_PARTS, len(logits) // FEWEST_IN_PART)) if parts is None else parts
    ends, log_p = [i * len(logits) // count for i in range(count + 1)], logits.double().log_softmax(1)
    shares = [log_p[begin:end] for begin, end in pairwise(ends)]
    means = [share.logsumexp(0) - math.log(len(share)) for share in shares]
    scores = torch.stack([(p.exp() * (p - mean)).sum(1).mean().exp() for p, mean in zip(shares, means, strict=True)])
    return Value(scores.mean().item(), scores.std(correction=0).item() if count > 1 else None)


def coverage(x: Tensor, y: Tensor, *, neighbours: int) -> float:
    """The share of x (N, D) that lies within a ball around one of y (M, D), each as wide as the distance to its k-th
    nearest of the others of y (Kynkaanniemi et al. 2019, eq. 1).

    Of drawn features among real ones this is the precision, of real ones among drawn ones the recall.
    """
    x, y = x.double(), y.double()
    radius = torch.cat([torch.cdist(rows, y).kthvalue(neighbours + 1).values for rows in y.split(ROWS)])
    inside = torch.cat([(torch.cdist(rows, y) <= radius).any(1) for rows in x.split(ROWS)])
    return inside.double().mean().item()


def comparison(
    x: Tensor, y: Tensor, logits: Tensor | None = None, *, neighbours: int
) -> dict[str, Callable[[], Value]]:
    """How to compute each measure of drawn features x (N, D) and real ones y (M, D); `logits` are of the drawn images.

    Precision and recall take as many images of either, as in the paper: balls shrink as images grow in number. Those of
    the larger set are chosen by chance.
    """
    x, y = x.double(), y.double()
    count = min(len(x), len(y))
    some_x, some_y = random_subset(x, count), random_subset(y, count)
    measures: dict[str, Callable[[], Value]] = {
        "frechet_distance": lambda: Value(frechet_distance(gaussian(x), gaussian(y))),
        "kernel_distance": lambda: kernel_distance_of_subsets(x, y),
        "precision": lambda: Value(coverage(some_x, some_y, neighbours=neighbours)),
        "recall": lambda: Value(coverage(some_y, some_x, neighbours=neighbours)),
    }
    return measures if logits is None else {**measures, "class_score": lambda: class_score(logits)}


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
    return ", ".join(f"{metric.replace('_', ' ')} {value}" for metric, value in found.items())
