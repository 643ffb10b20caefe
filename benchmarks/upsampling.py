"""Super-resolution against bicubic enlargement: python benchmarks/upsampling.py runs/MODEL

On test digits the model never saw. Two figures, since either alone can be had cheaply: the PSNR to the true images,
which blur raises, and the mean length of the gradient relative to the true images', which noise raises. Better is a
higher PSNR with a sharpness near 1. The model is scored on one drawn image each.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diffusion import Ancestral
from diffusion.config import load
from diffusion.data.digits import Digits
from diffusion.inference.image_files import Request, draw_batches
from diffusion.inference.prompts import prompts_from
from diffusion.inference.titles import BETWEEN, drawn_by, model_title
from diffusion.pictures.grid import save_picture
from diffusion.pictures.lettering import titled


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="checkpoint or run folder of experiment=digits_upsample")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--images", type=int, default=355)
    parser.add_argument("--out", default="upsampling.png")
    return parser.parse_args()


def psnr(x: Tensor, true: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, the mean over images (N, C, H, W) in [-1, 1]."""
    return (10 * (4 / ((x - true) ** 2).flatten(1).mean(1)).log10()).mean().item()


def sharpness(x: Tensor) -> float:
    """The mean length of the gradient of images (N, C, H, W), by differences of neighbouring pixels."""
    return torch.hypot(x.diff(dim=-1)[..., 1:, :], x.diff(dim=-2)[..., 1:]).mean().item()


def main() -> None:
    chosen = arguments()
    model = load.load_model(chosen.model, device="auto")
    if "low_res" not in model.conditions:
        raise SystemExit(f"{chosen.model} enlarges no images; train one: python train.py experiment=digits_upsample")
    digits = Digits(split="test", image_size=model.shape[-1])
    prompts = prompts_from(model.conditions, digits, chosen.images, classes=model.classes)
    true, low_res = prompts.true, prompts.arguments["low_res"]
    assert true is not None, "what is told an image has one behind it"
    sampler = Ancestral(steps=chosen.steps)
    ours = torch.cat(list(draw_batches(Request(len(true), 64, 0, prompts), model, sampler))).cpu()
    size = true.shape[2:]
    enlarged = {
        "nearest": interpolate(low_res, size, mode="nearest"),
        "bilinear": interpolate(low_res, size, mode="bilinear"),
        "bicubic": interpolate(low_res, size, mode="bicubic").clamp(-1, 1),
        "model": ours.clamp(-1, 1),
        "true": true,
    }
    print(f"{len(true)} test digits, {low_res.shape[-1]} -> {size[0]}, {chosen.steps} steps")
    print("          PSNR (dB)  sharpness / true")
    for name, x in enlarged.items():
        print(f"{name:8}  {psnr(x, true):9.2f}  {sharpness(x) / sharpness(true):16.3f}")
    title = f"{model_title(model)}\n{drawn_by(sampler)}{BETWEEN}{low_res.shape[-1]} -> {size[0]} pixels"
    save_picture(chosen.out, titled(prompts.picture(ours[:24]), title))
    print(f"Look at {chosen.out}: small, drawn, true")


if __name__ == "__main__":
    main()
