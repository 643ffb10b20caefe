"""Plots of what an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from diffusion.evaluation.novelty import Novelty
from diffusion.pictures.plots import figure

SIZE = (6.4, 4.0)
DPI = 150


def plot_terms(path: Path, t: Sequence[int], bits_per_dim: Sequence[float], *, title: str) -> None:
    """The mean terms of the bound against t, on a logarithmic axis: most of the bound lies in its first few steps."""
    picture, axes = figure(size=SIZE, dpi=DPI)
    axes.plot(t, bits_per_dim, linewidth=1.2)
    axes.set(xlabel="t", ylabel="term of the bound (bits/dim)", yscale="log", xlim=(0, max(t)), title=title)
    picture.savefig(path)


def plot_novelty(path: Path, found: Novelty, *, unseen: str) -> None:
    """How far drawn images lie from their nearest training images, and those that `unseen` names."""
    distances = {"drawn": found.drawn.distance.tolist()}
    distances |= {} if found.unseen is None else {unseen: found.unseen.distance.tolist()}
    plot_distances(path, distances, xlabel="L2 distance to the nearest training image")


def plot_distances(path: Path, distances: Mapping[str, Sequence[float]], *, xlabel: str) -> None:
    """How often each distance occurs, a histogram a name, all on the same bins."""
    picture, axes = figure(size=SIZE, dpi=DPI)
    everything = [value for values in distances.values() for value in values]
    step = (max(everything) - min(everything)) / 40 or 1.0
    bins = [min(everything) + step * i for i in range(41)]
    for name, values in distances.items():
        axes.hist(values, bins=bins, density=True, alpha=0.55, label=name)
    axes.set(xlabel=xlabel, ylabel="density")
    axes.legend(frameon=False)
    picture.savefig(path)
