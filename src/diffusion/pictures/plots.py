"""What all plots look like before there is something in them."""

from __future__ import annotations

import logging
from typing import Any


def figure(*, size: tuple[float, float], dpi: int) -> tuple[Any, Any]:
    """An empty figure of `size` inches and its axes."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of the fonts that it looks for when imported
    from matplotlib.figure import Figure  # here, since it takes half a second that only a plot needs

    empty = Figure(figsize=size, dpi=dpi, layout="constrained")
    axes = empty.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return empty, axes
