"""Drawing never waits for the device: coefficients are numbers of the CPU, and go to the images without a stop."""

from itertools import product

import pytest
import torch
from fake_gpu import GPU, OnGPU, fake_gpu

from diffusion import (
    DDIM,
    Ancestral,
    ContinuousDiffusion,
    Cosine,
    DPMSolver,
    Epsilon,
    EvenLogSNR,
    Exploding,
    GaussianDiffusion,
    Guidance,
    Heun,
    Hybrid,
    LearnedRange,
    Simple,
    UniPC,
    Velocity,
)
from diffusion.denoiser.denoiser import clip, transformed
from diffusion.samplers.sampler import trajectory

DIFFUSIONS = {
    "chain": lambda: GaussianDiffusion(
        steps=8, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid()
    ),
    "continuum": lambda: ContinuousDiffusion(
        schedule=EvenLogSNR(), path=Exploding(), prediction=Velocity(), loss=Simple()
    ),
}
SAMPLERS = {sampler.__name__: sampler for sampler in (Ancestral, DDIM, DPMSolver, UniPC)} | {
    "Heun": lambda steps: Heun(steps=steps, churn=2.0)
}


@pytest.mark.parametrize("diffusion, sampler", product(DIFFUSIONS, SAMPLERS))
def test_no_sampler_waits(diffusion, sampler):
    chosen = DIFFUSIONS[diffusion]()
    outputs = chosen.outputs(1)
    with fake_gpu() as gpu, torch.no_grad():
        layer = torch.nn.Conv2d(1, outputs, 1).to(GPU)
        denoise = transformed(chosen.denoiser(lambda x, time: layer(x) + time.view(-1, 1, 1, 1)), clip)
        gpu.hurries = True
        noise = lambda: torch.randn(2, 1, 4, 4, device=GPU)  # noqa: E731
        *_, last = trajectory(SAMPLERS[sampler](steps=4), chosen.process, denoise, noise)
        assert isinstance(last.x, OnGPU) and last.x.shape == (2, 1, 4, 4)


def test_no_guidance_waits():
    chosen = DIFFUSIONS["chain"]()
    with fake_gpu() as gpu, torch.no_grad():
        layer, classes = torch.nn.Conv2d(1, 2, 1).to(GPU), torch.arange(2).to(GPU)
        network = lambda x, time, y: layer(x) + y.view(-1, 1, 1, 1)  # noqa: E731
        denoiser = chosen.denoiser(network, takes=("y",), blank={"y": torch.tensor([2])})
        denoise = Guidance(scale=2.0, interval=(-3.0, 3.0), rescale=0.7)(denoiser, {"y": classes}, clip)
        gpu.hurries = True
        noise = lambda: torch.randn(2, 1, 4, 4, device=GPU)  # noqa: E731
        *_, last = trajectory(Ancestral(steps=4), chosen.process, denoise, noise)
        assert isinstance(last.x, OnGPU)
