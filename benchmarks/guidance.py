"""What the scale of classifier guidance buys: python benchmarks/guidance.py runs/MODEL runs/CLASSIFIER

Draws the same images at each scale, the classes in turn, and prints what share shows the class asked for: by the
guiding classifier itself, and by a judge that it does not know, trained here on real images; beside it the variety, the
mean distance between two images of a class. Writes a picture of one class, a row a scale.
"""

from __future__ import annotations

import argparse

import torch

from diffusion import DDIM, Ancestral
from diffusion.config import load
from diffusion.data.digits import Digits
from diffusion.denoiser.guidance import Guidance
from diffusion.evaluation.recogniser import predict_classes, train_recogniser
from diffusion.evaluation.recognition import variety
from diffusion.inference.draw import draw_steps
from diffusion.pictures.grid import grid, save_picture
from diffusion.pictures.pixels import from_uint8
from diffusion.samplers.sampler import draw

SAMPLERS = {"ancestral": Ancestral, "ddim": DDIM}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="checkpoint or run folder of a model of digits")
    parser.add_argument("classifier", help="checkpoint or run folder of a classifier of digits")
    parser.add_argument("--scales", type=float, nargs="+", default=[0, 0.25, 0.5, 1, 2, 4, 8])
    parser.add_argument("--sampler", choices=SAMPLERS, default="ancestral")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--shown", type=int, default=3, help="the class in the picture")
    parser.add_argument("--out", default="guidance.png")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    model, classifier = (load.load_model(path, device="auto") for path in (chosen.model, chosen.classifier))
    Guidance(classifier=classifier).check(model)  # type: ignore[arg-type]
    sampler = SAMPLERS[chosen.sampler](steps=chosen.steps)
    y = torch.arange(chosen.images, device=model.device) % 10
    real = Digits(image_size=model.shape[-1])
    judge = train_recogniser(
        from_uint8(real.pixels).to(model.device), real.labels.to(model.device), num_classes=10, seed=0
    )
    first = classifier.diffusion.process.level(torch.zeros_like(y))

    print(f"{chosen.sampler}, {chosen.steps} steps, {chosen.images} images")
    print("scale  classifier  judge  variety")
    rows = []
    for scale in chosen.scales:
        guided = model._replace(guidance=Guidance(classifier=classifier, scale=scale))  # type: ignore[arg-type]
        x = draw(draw_steps(guided, sampler, range(chosen.images), seed=0, condition={"y": y})).clamp(-1, 1)
        with torch.no_grad():
            named = classifier.denoiser.output(x, first).argmax(1)
        shares = [(labels == y).float().mean().item() for labels in (named, predict_classes(judge, x).to(y))]
        print(f"{scale:5g}  {shares[0]:10.1%}  {shares[1]:5.1%}  {variety(x, y):7.2f}", flush=True)
        rows.append(x[y == chosen.shown][:10])
    save_picture(chosen.out, grid(torch.cat(rows), columns=len(rows[0])))
    print(f"Look at {chosen.out}: class {chosen.shown}, a row a scale")


if __name__ == "__main__":
    main()
