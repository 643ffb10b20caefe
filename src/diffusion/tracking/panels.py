"""The W&B panel of each metric, and the best value of each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from diffusion.runs.metric_direction import lower_is_better

PANELS = (  # the first pattern that fits a metric's whole name says where it is shown
    ("", r"step|images|.*/.*"),
    ("loss_quartile/", r".*_q[0-3]"),
    ("optimizer/", r"lr|loss_scale|skipped_steps|.*_norm"),
    ("speed/", r".*_per_.*|memory.*|tflops|share_of_peak"),
    ("loss/", r".*"),
)


def panel_name(metric: str, panel: str | None = None) -> str:
    """The W&B key of a metric, whose first part is its panel: mse -> loss/mse, mse_q0 -> loss_quartile/mse_q0.

    A `panel` that is given wins, except over the place on the x-axis.
    """
    if panel is not None and metric not in ("step", "images"):
        return f"{panel}/{metric}"
    return next(where + metric for where, pattern in PANELS if re.fullmatch(pattern, metric))


class Bests:
    """The best value so far of every loss and of every measure of quality."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def improved(self, row: Mapping[str, Any]) -> dict[str, float]:
        """What is better than before in a row of W&B keys, as best/KEY."""
        better = {f"best/{key}": row[key] for key in row if self._is_better(key, row[key])}
        self.values |= better
        return better

    def _is_better(self, key: str, value: Any) -> bool:
        panel, _, metric = key.partition("/")
        if panel not in ("loss", "quality") or not math.isfinite(value):
            return False
        lower, before = lower_is_better(metric), self.values.get(f"best/{key}")
        if lower is None or before is None:
            return lower is not None
        return value < before if lower else value > before
