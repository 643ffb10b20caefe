"""What guidance buys: python benchmarks/guidance.py runs/A [runs/B ...] [--classifier runs/C | --weaker runs/W]

Draws the same images of digits at each scale, the classes in turn, with each of the runs (seeds of one recipe): without
a classifier, by one, or away from a weaker model. Prints what share shows the class asked for, by a judge trained here
on real images, the variety, which is the mean distance between two images of a class, and the Frechet distance to the
training images: means and spreads over the runs. Writes a plot, and a picture of one class, a row a scale.
"""

import argparse
from pathlib import Path

import torch
from digits_judge import Judge, mean_and_spread

from diffusion import DPMSolver, Guidance, Trained
from diffusion.config import load
from diffusion.inference.draw import draw_steps
from diffusion.inference.titles import BETWEEN, drawn_by, model_title
from diffusion.pictures.grid import grid, save_picture
from diffusion.pictures.lettering import titled
from diffusion.pictures.plots import figure
from diffusion.samplers.sampler import draw


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders of models of digits, one a seed")
    parser.add_argument("--classifier", help="checkpoint or run folder of a classifier of digits")
    parser.add_argument("--weaker", help="checkpoint or run folder of a weaker model of digits")
    parser.add_argument("--scales", type=float, nargs="+", default=[1, 1.5, 2, 3, 4])
    parser.add_argument("--interval", type=float, nargs=2, default=None, help="the log-SNR between which it guides")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--shown", type=int, default=3, help="the class in the picture")
    parser.add_argument("--out", default="guidance")
    return parser.parse_args()


def guidance_of(chosen: argparse.Namespace, scale: float) -> Guidance:
    guides = {"classifier": chosen.classifier, "model": chosen.weaker}
    loaded = {name: load.load_model(path, device="cpu") for name, path in guides.items() if path is not None}
    interval = None if chosen.interval is None or scale == 1 else tuple(chosen.interval)
    guided = scale != 1 or chosen.classifier is not None
    return Guidance(scale=scale, interval=interval, **loaded) if guided else Guidance()  # type: ignore[arg-type]


def images(model: Trained, y: torch.Tensor, steps: int) -> torch.Tensor:
    parts = torch.arange(len(y)).split(100)
    sampler = DPMSolver(steps=steps)
    drawn = [draw(draw_steps(model, sampler, p.tolist(), seed=0, condition={"y": y[p]})) for p in parts]
    return torch.cat(drawn).clamp(-1, 1)


def main() -> None:
    chosen = arguments()
    models, judge = [load.load_model(run, device="cpu") for run in chosen.runs], Judge()
    y = torch.arange(chosen.images) % 10
    print(f"{chosen.images} images, {chosen.steps} steps, {len(models)} runs; real {judge.of_real(chosen.images):.3f}")
    print("scale  recognised      variety        Frechet distance")
    shown, table = [], []
    for scale in chosen.scales:
        guidance = guidance_of(chosen, scale)
        for model in models:
            guidance.check(model)  # type: ignore[arg-type]
        drawn = [images(model._replace(guidance=guidance), y, chosen.steps) for model in models]
        measures = (judge.recognised, judge.variety, lambda x, y: judge.distance(x))
        found = [mean_and_spread([measure(x, y) for x in drawn]) for measure in measures]
        rest = (f"{mean:.3f} +- {spread:.3f}" for mean, spread in found[1:])
        cells = (f"{found[0][0]:6.1%} +- {found[0][1]:.1%}", *rest)
        print(f"{scale:5g}  {'   '.join(cells)}", flush=True)
        table.append((scale, found[0][0], found[2][0]))
        shown.append(drawn[0][y == chosen.shown][:10])
    rows = grid(torch.cat(shown), columns=len(shown[0]), rows=[f"scale {scale:g}" for scale in chosen.scales])
    save_picture(f"{chosen.out}.png", titled(rows, title(models[0], chosen)))
    plot(table, Path(f"{chosen.out}_plot.png"))
    print(f"Look at {chosen.out}.png, class {chosen.shown}, a row a scale, and {chosen.out}_plot.png")


def title(model: Trained, chosen: argparse.Namespace) -> str:
    """Which model drew, how, of which class, and what guided it."""
    guide = f"guided by {Path(chosen.classifier).name}" if chosen.classifier else "classifier-free guidance"
    guide = f"guided away from {chosen.weaker}" if chosen.weaker else guide
    words = [drawn_by(DPMSolver(steps=chosen.steps)), f"class {chosen.shown}", guide]
    return f"{model_title(model)}\n{BETWEEN.join(words)}"


def plot(table: list[tuple[float, float, float]], path: Path) -> None:
    """The recognised share and the Frechet distance over the scale, of rows (scale, share, distance)."""
    picture, axes = figure()
    scales, shares, distances = zip(*table, strict=True)
    axes.plot(scales, distances, marker="o", label="Frechet distance")
    axes.set(xlabel="guidance.scale", ylabel="Frechet distance")
    beside = axes.twinx()
    beside.plot(scales, [100 * share for share in shares], marker="s", color="tab:orange", label="recognised (%)")
    beside.set(ylabel="recognised (%)")
    picture.savefig(path)


if __name__ == "__main__":
    main()
