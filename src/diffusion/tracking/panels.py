"""The W&B panel of each metric, and the best values so far."""

import re
from collections.abc import Mapping
from math import nan
from typing import Any

from diffusion.runs.metric_direction import best

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


def improved(row: Mapping[str, Any], before: Mapping[str, float]) -> dict[str, float]:
    """The losses and measures of quality in a row of W&B keys, as best/KEY, that are better than those `before`."""
    graded = {f"best/{key}": key for key in row if key.startswith(("loss/", "quality/"))}
    bests = {name: best(key.partition("/")[2], [row[key], before.get(name, nan)]) for name, key in graded.items()}
    return {name: value for name, value in bests.items() if value is not None and value != before.get(name)}
