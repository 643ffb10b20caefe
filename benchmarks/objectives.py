"""Recipes beside each other: python benchmarks/objectives.py hybrid=runs/h0,runs/h1 edm=runs/e0,runs/e1 flow=...

For each recipe, the runs of its seeds on digits: the Frechet distance of drawn images, in few and in many calls, the
share whose class is recognised, and bits/dim of test images by the density of the flow: means, and spreads over seeds.
"""

import argparse

import torch
from digits_judge import Judge, mean_and_spread

from diffusion import Ancestral, Density, DPMSolver, Sampler, Trained
from diffusion.config import load
from diffusion.config.subjects import subject_in_training
from diffusion.data.digits import Digits
from diffusion.evaluation.subject import evenly_spaced
from diffusion.inference.draw import draw_steps
from diffusion.samplers.sampler import draw

SAMPLERS = {"DPM-Solver++, 11 calls": DPMSolver(steps=11), "ancestral, 49 calls": Ancestral(steps=49)}


def images(model: Trained, sampler: Sampler, y: torch.Tensor) -> torch.Tensor:
    parts = torch.arange(len(y)).split(100)
    return torch.cat([draw(draw_steps(model, sampler, p.tolist(), seed=0, condition={"y": y[p]})) for p in parts])


def bits_per_dim(model: Trained, count: int) -> float:
    """Of test images, evenly spread, by the density of the flow."""
    subject = subject_in_training(model.config["data"], Digits(), batch_size=count, seed=0)(model)
    return Density(num_images=count).bits(subject, evenly_spaced(len(subject.images), count)).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", help="NAME=RUN,RUN,...")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--measured", type=int, default=50, help="how many test images' density")
    chosen = parser.parse_args()
    judge, y = Judge(), torch.arange(chosen.images) % 10
    print(f"{chosen.images} images; real test images {judge.of_real(chosen.images):.3f}")
    for recipe in chosen.recipes:
        name, _, runs = recipe.partition("=")
        models = [load.load_model(run, device="cpu") for run in runs.split(",")]
        cells = []
        for kind, sampler in SAMPLERS.items():
            drawn = [images(model, sampler, y) for model in models]
            mean, spread = mean_and_spread([judge.distance(x) for x in drawn])
            shown, shown_spread = mean_and_spread([judge.recognised(x.clamp(-1, 1), y) for x in drawn])
            cells.append(f"{kind}: {mean:.3f} +- {spread:.3f}, recognised {shown:.1%} +- {shown_spread:.1%}")
        mean, spread = mean_and_spread([bits_per_dim(model, chosen.measured) for model in models])
        print(f"{name:8} {'; '.join(cells)}; {mean:.3f} +- {spread:.3f} bits/dim", flush=True)


if __name__ == "__main__":
    main()
