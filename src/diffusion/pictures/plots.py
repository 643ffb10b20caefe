"""Plots of what a run or an evaluation found."""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor


def quiet_matplotlib() -> Any:
    """Matplotlib, imported here since it takes half a second that only a plot needs."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # or it lists the fonts that it looks for
    warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name that its font cannot write
    import matplotlib

    return matplotlib


def figure(*, size: tuple[float, float] = (6.4, 4.0), dpi: int = 150) -> tuple[Any, Any]:
    """An empty figure of `size` inches and its axes."""
    quiet_matplotlib()
    from matplotlib.figure import Figure

    empty = Figure(figsize=size, dpi=dpi, layout="constrained")
    axes = empty.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.title.set_parse_math(False)  # a run may be called $x
    return empty, axes


def plot_terms(path: Path, t: Sequence[int], bits_per_dim: Sequence[float], *, title: str) -> None:
    """The mean terms of the bound against t, on a logarithmic axis: most of the bound lies in its first few steps."""
    picture, axes = figure()
    axes.plot(t, bits_per_dim, linewidth=1.2)
    axes.set(xlabel="t", ylabel="term of the bound (bits/dim)", yscale="log", xlim=(0, max(t)), title=title)
    picture.savefig(path)


def plot_errors(path: Path, log_snr: Tensor, errors: Tensor, *, title: str) -> None:
    """The mean integrand of the continuous bound over the log-SNR, of errors at the levels log_snr, each (N, K)."""
    order = log_snr.flatten().argsort()
    parts = (values.flatten()[order].double().chunk(min(60, len(order))) for values in (log_snr, errors))
    places, means = ([part.mean().item() for part in each] for each in parts)
    picture, axes = figure()
    axes.plot(places, means, linewidth=1.2)
    axes.set(xlabel="log-SNR", ylabel="bits/dim for one unit of log-SNR", ylim=(0, None), title=title)
    picture.savefig(path)


def plot_distances(path: Path, distances: Mapping[str, Sequence[float]], *, xlabel: str, title: str = "") -> None:
    """How often each distance occurs, a histogram a name, all on the same bins."""
    picture, axes = figure()
    everything = [value for values in distances.values() for value in values]
    bins = np.histogram_bin_edges(everything, bins=40)
    for name, values in distances.items():
        axes.hist(values, bins=bins, density=True, alpha=0.55, label=name)
    axes.set(xlabel=xlabel, ylabel="density", title=title)
    axes.legend(frameon=False)
    picture.savefig(path)


def plot_weights(probabilities: Sequence[float], *, title: str = "") -> np.ndarray:
    """The probability of each t = 0 .. T-1 in training, beside the uniform one: uint8 (height, width, 3)."""
    steps = len(probabilities)
    picture, axes = figure(size=(6.4, 3.2), dpi=125)
    axes.plot(range(steps), probabilities, linewidth=1.2, label="drawn with")
    axes.axhline(1 / steps, color="grey", linewidth=0.8, linestyle="--", label="uniform")
    axes.set(xlabel="t", ylabel="p(t)", xlim=(0, max(steps - 1, 1)), yscale="log", title=title)
    axes.legend(frameon=False)
    file = io.BytesIO()
    picture.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))
