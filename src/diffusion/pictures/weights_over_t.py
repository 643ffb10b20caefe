"""A plot of which steps of the process a schedule sampler trains on."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor

from diffusion.pictures.plots import figure

SIZE = (6.4, 3.2)
DPI = 125


def plot(probabilities: Tensor) -> np.ndarray:
    """p(t) of each t, (T,), against 0..T-1, beside the uniform one: uint8 (height, width, 3)."""
    steps = len(probabilities)
    picture, axes = figure(size=SIZE, dpi=DPI)
    axes.plot(range(steps), probabilities.tolist(), linewidth=1.2, label="drawn with")
    axes.axhline(1 / steps, color="grey", linewidth=0.8, linestyle="--", label="uniform")
    axes.set(xlabel="t", ylabel="p(t)", xlim=(0, max(steps - 1, 1)), yscale="log")
    axes.legend(frameon=False)
    file = io.BytesIO()
    picture.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))
