"""How well DDIM returns images from the noise it turns them into: python benchmarks/encode_decode.py runs/MODEL

Encodes digits of the test set, decodes them again, and prints the mean error in levels of 255. Predicted images are
clipped both ways: at the end of the cosine schedule alpha_bar is 2e-9, so that an unclipped step would enlarge the
network's error 20,000 times.
"""

from __future__ import annotations

import argparse

import torch

from diffusion import DDIM
from diffusion.config import load
from diffusion.data.digits import Digits
from diffusion.denoiser.denoiser import clip, transformed
from diffusion.inference.titles import drawn_by, model_title
from diffusion.pictures.grid import grid, save_picture
from diffusion.pictures.lettering import titled
from diffusion.pictures.pixels import from_uint8
from diffusion.samplers.sampler import draw, trajectory


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="checkpoint or run folder of a model of digits")
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 50, 100, 250])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--out", default="encode_decode.png", help="rows: given, encoded, decoded with the last steps")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    model = load.load_model(chosen.model, device="auto")
    digits = Digits(split="test", image_size=model.shape[-1])
    x_0 = from_uint8(digits.pixels[: chosen.images]).to(model.device)
    process, condition = model.diffusion.process, {"y": digits.labels[: chosen.images].to(model.device)}
    denoise = transformed(model.denoiser.given(condition), clip)

    print("steps  mean error  worst image  worst pixel  std of x_T")
    for steps in chosen.steps:
        sampler = DDIM(steps=steps)
        *_, (x_T, _) = sampler.encode(denoise, process, x_0)
        back = draw(trajectory(sampler, process, denoise, x_T.clone))
        error = 127.5 * (back - x_0).abs().flatten(1)
        figures = f"{error.mean():10.2f}  {error.mean(1).max():11.2f}  {error.max():11.1f}  {x_T.std():10.3f}"
        print(f"{steps:5}  {figures}", flush=True)
    rows = grid(torch.cat([x_0, x_T / 3, back]), columns=chosen.images, rows=["given", "encoded / 3", "decoded"])
    save_picture(chosen.out, titled(rows, f"{model_title(model)}\n{drawn_by(sampler)}"))
    print(f"Look at {chosen.out}: given, encoded (divided by 3), decoded")


if __name__ == "__main__":
    main()
