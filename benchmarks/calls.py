"""Quality against network calls for every sampler: python benchmarks/calls.py runs/A runs/B runs/C

Draws the same images of digits by each sampler in each number of calls, with each of the runs given (seeds of one
recipe), and prints the Frechet distance of the recogniser's features to the training images: mean and spread over the
runs, and that of as many real test images. Writes the table as JSON and a plot.
"""

import argparse
import json
from pathlib import Path

import torch
from digits_judge import Judge, mean_and_spread

from diffusion import (
    DDIM,
    Ancestral,
    DPMSolver,
    Heun,
    KarrasSpacing,
    Sampler,
    Trained,
    UniPC,
)
from diffusion.config import load
from diffusion.inference.draw import draw_steps
from diffusion.pictures.plots import figure
from diffusion.samplers.sampler import draw


def samplers(calls: int) -> dict[str, Sampler]:
    """Every sampler whose network is called so often, the image included."""
    found: dict[str, Sampler] = {
        "ancestral": Ancestral(steps=calls),
        "DDIM": DDIM(steps=calls),
        "DPM-Solver++ 2": DPMSolver(steps=calls, order=2),
        "DPM-Solver++ 3": DPMSolver(steps=calls, order=3),
        "DPM-Solver++ 2, eta 1": DPMSolver(steps=calls, order=2, eta=1.0),
        "UniPC 2": UniPC(steps=calls),
    }
    if calls % 2:  # two calls a step, of which the last has one
        steps, spacing = (calls + 1) // 2, KarrasSpacing(limit=80.0)
        found["Heun"] = Heun(steps=steps, spacing=spacing, coordinate="path")
        found["Heun, sigma / alpha"] = Heun(steps=steps, spacing=spacing)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders of digits, one a seed")
    parser.add_argument("--calls", type=int, nargs="+", default=[5, 7, 9, 11, 15, 25, 49])
    parser.add_argument("--only", nargs="+", default=None, help="the samplers to measure, by their names in the plot")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--out", default="calls")
    return parser.parse_args()


@torch.no_grad()
def images(model: Trained, sampler: Sampler, count: int) -> torch.Tensor:
    """The images number 0 .. count - 1, the classes in turn."""
    y = torch.arange(count) % 10
    parts = torch.arange(count).split(100)
    return torch.cat([draw(draw_steps(model, sampler, p.tolist(), seed=0, condition={"y": y[p]})) for p in parts])


Found = dict[str, list[tuple[int, float, float]]]
"""By sampler: (calls, mean distance, its spread over the runs)"""


def measure(models: list[Trained], judge: Judge, chosen: argparse.Namespace) -> Found:
    found: Found = {}
    for calls in chosen.calls:
        for name, sampler in samplers(calls).items():
            if chosen.only is None or name in chosen.only:
                distances = [judge.distance(images(model, sampler, chosen.images)) for model in models]
                mean, spread = mean_and_spread(distances)
                found.setdefault(name, []).append((calls, mean, spread))
                print(f"{calls:4d} calls  {name:22}  {mean:.3f} +- {spread:.3f}", flush=True)
    return found


def plot(found: Found, real: float, path: Path, title: str) -> None:
    picture, axes = figure(size=(7.2, 4.4))
    for name, points in found.items():
        calls, mean, spread = zip(*points, strict=True)
        axes.errorbar(calls, mean, yerr=spread, marker="o", markersize=3, linewidth=1.2, capsize=2, label=name)
    axes.axhline(real, color="black", linestyle=":", linewidth=1, label="real test images")
    axes.set(xscale="log", yscale="log", xlabel="network calls", ylabel="Fréchet distance", title=title)
    axes.set_xticks(sorted({calls for points in found.values() for calls, *_ in points}))
    low, high = axes.get_ylim()
    axes.set_yticks([y for e in (0.01, 0.1, 1) for m in (1, 2, 3, 5, 7) if low <= (y := m * e) <= high])
    for axis in (axes.get_xaxis(), axes.get_yaxis()):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.legend(fontsize=7)
    picture.savefig(path)


def main() -> None:
    chosen = arguments()
    models, judge = [load.load_model(run, device="cpu") for run in chosen.runs], Judge()
    real = judge.of_real(chosen.images)
    print(f"{chosen.images} images, {len(models)} runs; real images {real:.3f}; the judge reads {judge.accuracy:.1%}")
    found = measure(models, judge, chosen)
    table = {"images": chosen.images, "runs": chosen.runs, "real": real, "found": found}
    Path(f"{chosen.out}.json").write_text(json.dumps(table, indent=1) + "\n")
    plot(found, real, Path(f"{chosen.out}.png"), f"{chosen.images} digits, {len(models)} seeds")
    print(f"Look at {chosen.out}.png")


if __name__ == "__main__":
    main()
