"""Where a metric is shown: with which others, under which name."""

import re

PANELS = (  # the first pattern that fits a metric's whole name says where it is shown
    ("", r"step|images|.*/.*"),
    ("loss_quartile/", r".*_q[0-3]"),
    ("optimizer/", r"lr|loss_scale|skipped_steps|.*_norm"),
    ("speed/", r".*_per_.*|memory.*|tflops|share_of_peak"),
    ("loss/", r".*"),
)


def panel_name(metric: str, panel: str | None = None) -> str:
    """The key of a metric, whose first part is its panel: mse -> loss/mse, mse_q0 -> loss_quartile/mse_q0.

    A `panel` that is given wins, except over the place on the x-axis.
    """
    if panel is not None and metric not in ("step", "images"):
        return f"{panel}/{metric}"
    return next(where + metric for where, pattern in PANELS if re.fullmatch(pattern, metric))


def picture_name(name: str) -> str:
    """The key of a picture: under samples/ unless `name` has a slash."""
    return name if "/" in name else f"samples/{name}"
