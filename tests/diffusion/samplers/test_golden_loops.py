"""Whole sampling loops of the released code, with its network and its noise."""

from __future__ import annotations

import pytest
import torch
from golden_cases import assert_golden, cases, tensors
from golden_objects import diffusion_of, network_of

from diffusion import DDIM, Ancestral


def sampler_of(args: dict):
    kind, options = (DDIM, {"eta": args["eta"]}) if args["sampler"] == "ddim" else (Ancestral, {})
    return kind(steps=args["keep"], clip=args["clip"], **options)


@pytest.mark.parametrize("case, inputs, expected", cases(11))
def test_sampling_loops(case, inputs, expected):
    args, given = case["args"], tensors(inputs)
    network = network_of(args["network"], inputs["weights"], image_size=8)
    whole = diffusion_of({name: value for name, value in args.items() if name != "keep"})
    drawn = iter([given["initial_noise"], *given["noise"]])
    steps = list(sampler_of(args).progressive(whole, network, lambda: next(drawn)))
    got = {
        "samples_after_each_step": torch.stack([step.x_t for step in steps]),
        "x0_predictions": torch.stack([step.x_0 for step in steps]),
        "final": steps[-1].x_t,
    }
    for name in expected:
        assert_golden(case, name, got[name], expected[name])
