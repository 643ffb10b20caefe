"""Which of the weights in a checkpoint are used: those of the last step, an average, or one made of several."""

from pathlib import Path
from typing import Any

import torch

from diffusion.runs import snapshots
from diffusion.runs.state import WIDTH


def chosen_weights(state: dict[str, Any], ema: float | str | None) -> tuple[dict[str, torch.Tensor], str]:
    """The weights that `ema` asks for, and their name: those of a rate, or an average made of those of other widths."""
    rates = list(state["ema"])
    width = None if ema is None or str(ema) in rates else as_width(ema)
    if width is not None:
        return snapshots.reconstructed(Path(state["folder"]) / "snapshots", state, width), f"width_{width:g}"
    rate = average_rate(ema, rates)
    name = "raw" if rate is None else rate if rate.startswith(WIDTH) else f"ema_{rate}"
    return weights_of(state, rate), name


def as_width(ema: float | str) -> float | None:
    """A relative width, where `ema` is a number that can be none but that; rates lie above one half."""
    try:
        return None if isinstance(ema, bool) or float(ema) >= 0.5 else float(ema)
    except ValueError:
        return None


def average_rate(ema: float | str | None, names: list[str]) -> str | None:
    """Which average to use; None for the weights themselves. The highest rate, or the widest, if none is asked for."""
    rates = [name for name in names if not name.startswith(WIDTH)]
    if ema is None:
        return max(rates, key=float, default=max(names, default=None))
    if ema in ("off", False):
        return None
    if str(ema) not in names:
        kept = ", ".join(f"ema={rate}" for rate in names)
        raise ValueError(f"no average of rate {ema} was kept; give {kept + ' or ' if kept else ''}ema=off")
    return str(ema)


def weights_of(state: dict[str, Any], rate: str | None) -> dict[str, torch.Tensor]:
    """The weights in a state, or their average of that rate.

    An average is one of parameters: what else a network holds, such as running means, is that of its weights.
    """
    return state["model"] if rate is None else {**state["model"], **state["ema"][rate]}
