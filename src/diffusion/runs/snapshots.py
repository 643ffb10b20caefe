"""Averages of power-function profiles, kept through training, and any other average made of them afterwards.

An average of profile t^gamma over the steps until t_end weighs late steps more; its relative width is the standard
deviation of t under it over t_end. Averages of a few widths, kept every so often, span those of all others nearly
(Karras et al. 2024, section 3.2 and appendix C).
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusion.runs.files import atomic_write
from diffusion.runs.printable import reason
from diffusion.runs.small_files import open_regular
from diffusion.runs.state import WIDTH

log = logging.getLogger(__name__)

WIDEST = 0.289  # the width of gamma = 0, where all steps count alike, is 1 / sqrt(12)


def exponent(width: float) -> float:
    """gamma of the profile t^gamma of a relative width in (0, 0.289): width^2 = (g + 1) / ((g + 2)^2 (g + 3))."""
    if not 0 < width < WIDEST:
        raise ValueError(f"a relative width lies between 0 and {WIDEST}, got {width}; set train.ema_widths=[0.05,0.1]")
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots.real[np.abs(roots.imag) < 1e-9].max())


def inner_products(t_a: Tensor, gamma_a: Tensor, t_b: Tensor, gamma_b: Tensor) -> Tensor:
    """Of the normalised profiles that end at t_a and t_b, float64, elementwise."""
    first = t_a <= t_b
    t_low, t_high = torch.where(first, t_a, t_b), torch.where(first, t_b, t_a)
    gamma_high = torch.where(first, gamma_b, gamma_a)
    return (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1) * (t_low / t_high) ** gamma_high / t_high


def coefficients(steps: Tensor, widths: Tensor, *, step: float, width: float) -> tuple[Tensor, float]:
    """How much of each average, kept at `steps` with `widths` (K,), makes that of `width` at `step`; they sum to 1.

    Beside them the relative error of the profile that they make.
    """
    gamma = torch.tensor([exponent(each) for each in widths.tolist()], dtype=torch.float64)
    wanted, end = torch.tensor([exponent(width)], dtype=torch.float64), torch.tensor([step], dtype=torch.float64)
    t = steps.double()
    products = inner_products(t[:, None], gamma[:, None], t[None], gamma[None])
    aims = inner_products(t, gamma, end, wanted)
    found = torch.linalg.lstsq(products, aims[:, None], driver="gelsd").solution[:, 0]
    found = found / found.sum()
    left = 1 - (2 * found @ aims - found @ products @ found) / inner_products(end, wanted, end, wanted)[0]
    return found, left.clamp(min=0).sqrt().item()


def save_snapshot(folder: Path, step: int, averages: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the averages of each width as folder/step_N.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = {f"{width}/{name}": values.contiguous() for width, each in averages.items() for name, values in each.items()}
    with atomic_write(folder / f"step_{step:08d}.safetensors") as path:
        save_file(flat, path)


def remove_after(folder: Path, step: int) -> None:
    """Remove the snapshots of later steps, which are trained anew, and what a killed process left half-written."""
    for path in folder.glob("step_*.safetensors"):
        if path.name.endswith(".partial.safetensors") or step_of(path) > step:
            path.unlink()


def step_of(path: Path) -> int:
    number = path.name.removeprefix("step_").removesuffix(".safetensors")
    return int(number) if number.isdecimal() else 0


class Kept(NamedTuple):
    """The average of one width after a step."""

    step: int
    width: float
    weights: Mapping[str, Tensor]


def read_snapshots(folder: Path, step: int) -> Iterator[Kept]:
    """The averages in the snapshots until a step; a warning names each file that cannot be read, which is left out."""
    for path in sorted(folder.glob("step_*.safetensors")):
        if not 0 < step_of(path) <= step:
            continue
        try:
            with open_regular(path):
                flat = load_file(path)
            widths = {name.partition("/")[0] for name in flat}
            for width in sorted(widths):
                own = {name.partition("/")[2]: weight for name, weight in flat.items() if name.startswith(f"{width}/")}
                yield Kept(step_of(path), float(width), own)
        except Exception as error:  # safetensors raises its own, of which it says nothing
            log.warning("%s cannot be read (%s), and is left out", path, reason(error, 100))


def reconstructed(folder: Path, state: Mapping[str, Any], width: float) -> dict[str, Tensor]:
    """The weights of a checkpoint's state, averaged with a relative width.

    It is made of the averages that the state holds itself and those in `folder` of the steps before. What is no
    parameter, such as running means, is as it is in the state. A warning says so where the averages do not span that of
    the width. ValueError if there are none, or they are of another network.
    """
    exponent(width)
    own = {float(name.removeprefix(WIDTH)): each for name, each in state["ema"].items() if name.startswith(WIDTH)}
    kept = [each for each in read_snapshots(folder, state["step"] - 1) if each.width in own]
    kept += [Kept(state["step"], own_width, weights) for own_width, weights in own.items()]
    if not kept:
        raise ValueError(f"{folder} has no averages to make ema={width} of; train with 'train.ema_widths=[0.05,0.1]'")
    steps, widths = torch.tensor([each.step for each in kept]), torch.tensor([each.width for each in kept]).double()
    shares, error = coefficients(steps, widths, step=state["step"], width=width)
    if error > 0.05:
        log.warning("The %d averages kept make ema=%g with an error of %.0f %%", len(kept), width, 100 * error)
    made = {}
    for name, weight in state["model"].items():
        parts = [each.weights[name] for each in kept if name in each.weights]
        if any(part.shape != weight.shape for part in parts):
            raise ValueError(f"{folder} holds averages of another network; give ema=off, or a rate")
        if len(parts) == len(kept):
            weight = sum(shares[i] * part.double() for i, part in enumerate(parts)).to(weight.dtype)  # type: ignore
        made[name] = weight
    return made
