"""Whole sampling loops of the released code, with its network and its noise."""

from __future__ import annotations

import pytest
import torch
from golden_cases import assert_golden, cases, tensors
from golden_objects import diffusion_of, network_of

from diffusion import DDIM, Ancestral
from diffusion.denoiser.denoiser import clip, transformed
from diffusion.samplers.sampler import trajectory


def sampler_of(args: dict):
    kind, options = (DDIM, {"eta": args["eta"]}) if args["sampler"] == "ddim" else (Ancestral, {})
    return kind(steps=args["keep"], **options)


@pytest.mark.parametrize("case, inputs, expected", cases(11))
def test_sampling_loops(case, inputs, expected):
    args, given = case["args"], tensors(inputs)
    network = network_of(args["network"], inputs["weights"], image_size=8)
    diffusion = diffusion_of({name: value for name, value in args.items() if name != "keep"})
    denoise = diffusion.denoiser(network)
    denoise = transformed(denoise, clip) if args["clip"] else denoise
    drawn = iter([given["initial_noise"], *given["noise"]])
    steps = list(trajectory(sampler_of(args), diffusion.process, denoise, lambda: next(drawn)))
    got = {
        "samples_after_each_step": torch.stack([step.x for step in steps]),
        "x0_predictions": torch.stack([step.x_0 for step in steps]),
        "final": steps[-1].x,
    }
    for name in expected:
        assert_golden(case, name, got[name], expected[name])
