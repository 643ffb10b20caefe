"""Averages of power-function profiles, kept through training, and any other average made of them afterwards.

An average of profile t^gamma over the steps until t_end weighs late steps more; its relative width is the standard
deviation of t under it over t_end. Averages of a few widths, kept every so often, span those of all others nearly
(Karras et al. 2024, section 3.2 and appendix C).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffusion.runs.files import atomic_write

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


def coefficients(steps: Tensor, widths: Tensor, *, step: float, width: float) -> Tensor:
    """How much of each average, kept at `steps` with `widths` (K,), makes that of `width` at `step`; they sum to 1."""
    gamma = torch.tensor([exponent(each) for each in widths.tolist()], dtype=torch.float64)
    wanted = torch.tensor(exponent(width), dtype=torch.float64).expand(len(steps))
    t = steps.double()
    products = inner_products(t[:, None], gamma[:, None], t[None], gamma[None])
    right = inner_products(t, gamma, torch.full_like(t, step), wanted)
    found = torch.linalg.lstsq(products, right[:, None], driver="gelsd").solution[:, 0]
    return found / found.sum()


def save_snapshot(folder: Path, step: int, averages: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the averages of each width as folder/step_N.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = {f"{width}/{name}": values.contiguous() for width, each in averages.items() for name, values in each.items()}
    with atomic_write(folder / f"step_{step:08d}.safetensors") as path:
        save_file(flat, path)


def remove_after(folder: Path, step: int) -> None:
    """Remove the snapshots of later steps, which are trained anew."""
    for path in folder.glob("step_*.safetensors"):
        if step_of(path) > step:
            path.unlink()


def step_of(path: Path) -> int:
    number = path.name.removeprefix("step_").removesuffix(".safetensors")
    return int(number) if number.isdigit() else 0


def reconstructed(folder: Path, step: int, width: float, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The average of a relative width at a step, of the snapshots in `folder` until then, for the weights `like`.

    What is no parameter, such as running means, is as it is in `like`. ValueError if there are none, or they are of
    another network.
    """
    exponent(width)
    files = [path for path in sorted(folder.glob("step_*.safetensors")) if 0 < step_of(path) <= step]
    if not files:
        raise ValueError(f"{folder} has no averages to make ema={width} of; train with 'train.ema_widths=[0.05,0.1]'")
    kept: list[tuple[Path, str]] = []
    try:
        for path in files:
            with safe_open(path, framework="pt") as opened:
                names = list(opened.keys())
            kept += [(path, each) for each in sorted({name.partition("/")[0] for name in names})]
        steps = torch.tensor([step_of(path) for path, _ in kept])
        shares = coefficients(steps, torch.tensor([float(each) for _, each in kept]), step=step, width=width)
        averaged = {name.partition("/")[2] for name in names}
        made = {name: torch.zeros_like(like[name], dtype=torch.float64) for name in averaged}
        for share, (path, each) in zip(shares.tolist(), kept, strict=True):
            with safe_open(path, framework="pt") as opened:
                for name, total in made.items():
                    part = opened.get_tensor(f"{each}/{name}")
                    if part.shape != total.shape:
                        raise ValueError(f"{name} is {(*part.shape,)}, needed {(*total.shape,)}")
                    total += share * part.double()
    except Exception as error:  # safetensors raises its own, of which it says nothing
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the averages in {folder} cannot be read ({reason}); give ema=off, or a rate") from error
    return {**like, **{name: total.to(like[name].dtype) for name, total in made.items()}}
