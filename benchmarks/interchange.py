"""Draws the same images, of the same noise, with this program and with diffusers: how far are they apart?

    python benchmarks/interchange.py runs/default [steps]

The run is written as a folder of diffusers, and the library draws from it. It computes the coefficients of its steps in
float32, and so pixels differ by their rounding.
"""

import sys
import tempfile
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

import diffusion
from diffusion.compute.randomness import generator
from diffusion.inference.trained import Trained
from diffusion.interchange.folder import write_folder

COUNT = 16


def drawn_by_diffusers(model: Trained, steps: int | None, folder: Path) -> torch.Tensor:
    """The images number 0 .. COUNT - 1 of seed 0, (COUNT, C, H, W) in [0, 1]."""
    write_folder(model, folder, "model")
    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    chances = [generator(0, "sample", number) for number in range(COUNT)]
    classes = model.classes
    asked = {"class_labels": [classes[n % len(classes)] for n in range(COUNT)]} if classes else {"batch_size": COUNT}
    steps = steps or pipeline.scheduler.config.num_train_timesteps
    return pipeline(**asked, generator=chances, num_inference_steps=steps, output_type="pt").images


def main(path: str, steps: int | None = None) -> None:
    model = diffusion.load(path, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        theirs = drawn_by_diffusers(model, steps, Path(folder))
        again = diffusion.load(folder, device="cpu").draw(COUNT, sampler=diffusion.Ancestral(steps=steps))
    ours = model.draw(COUNT, sampler=diffusion.Ancestral(steps=steps))
    error = (theirs - (ours / 2 + 0.5).clamp(0, 1)).abs() * 255
    print(f"{COUNT} images of {path} in {steps or 'all'} steps, levels of 255 that a pixel differs:")
    print(f"drawn by diffusers: {error.max():.3f} at most, {error.mean():.5f} on average")
    print(f"read back and drawn here: {(again - ours).abs().max() * 127.5:.3f} at most")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
