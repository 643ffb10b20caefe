"""Whole training steps of the released code: its losses, gradients, learning rates, weights and averages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_cases import assert_golden, cases, tensors
from golden_objects import diffusion_of, network_of

from diffusion import Uniform
from diffusion.training.adamw import AdamW
from diffusion.training.ema import EMA
from diffusion.training.learner import Draws, Learner
from diffusion.training.parallel import Replicated
from diffusion.training.trainer import rate_factor
from unet.released_weights import released_parameters

# In step 0 an image has t = 0, where the original's float32 likelihood is 7e-6 bits/dim off its own formula in float64
# (ours: 2e-8). It enters these with a weight of up to 1.44.
AT_T_0 = ("log_vb_0", "log_vb_q0_0", "log_loss_0", "log_loss_q0_0")
KEY_BIAS = ("middle_block.1.qkv.bias", slice(64, 128))  # of q, k, v with 64 channels each


def learner_of(args: dict, weights: dict) -> Learner:
    network, diffusion = network_of(args["network"], weights, image_size=8), diffusion_of(args)
    return Learner(
        Replicated(network, torch.device("cpu")),
        diffusion,
        optimizer=AdamW(network.parameters(), lr=args["lr"], weight_decay=args["weight_decay"]),
        schedule_sampler=Uniform(),
        ema=EMA(network, tuple(float(rate) for rate in args["ema"].split(","))),
        microbatch=args["microbatch"],
    )


@pytest.mark.parametrize("case, inputs, expected", cases(12))
def test_training_steps(case, inputs, expected):
    # Knowingly fixed: the original sums the gradients of the micro-batches, ours averages over all images. Weights
    # times the number of micro-batches make the gradient the original's, and all that is logged larger by as much.
    args, given = case["args"], tensors(inputs)
    learner = learner_of(args, inputs["weights"])
    names = {id(parameter): name for name, parameter in released_parameters(learner.model).items()}
    released = {ours: names[id(parameter)] for ours, parameter in learner.model.named_parameters()}
    parts = args["batch"] // args["microbatch"]
    got = {}
    for k in range(args["steps"]):
        draws = Draws(given["t"][k], parts * given["importance_weight"][k], given["noise"][k])
        factor = rate_factor(learner.steps_done, warmup_steps=0, anneal_steps=args["lr_anneal_steps"])
        learner.learn(given["x0"][k], draws, factor, condition={})
        readings = learner.readings()
        got[f"lr_{k}"] = readings.pop("lr")
        got[f"log_grad_norm_{k}"] = readings.pop("grad_norm")
        got |= {f"log_{name}_{k}": value / parts for name, value in readings.items()}
        # The original counts the step before it is taken, and the images after it.
        got[f"log_step_{k}"], got[f"log_samples_{k}"] = learner.steps_done - 1, learner.steps_done * args["batch"]
        weights = {"param": learner.model.state_dict()}
        weights |= {f"ema{rate}": average for rate, average in learner.ema.state_dict().items()}
        for kind, tensors_by_name in weights.items():
            for name, tensor in tensors_by_name.items():
                got[f"{kind}_{released[name]}_{k}"] = tensor.numpy().copy()
    for name in expected:
        value, reference = np.float64(got[name]) if np.ndim(got[name]) == 0 else got[name], expected[name]
        if name in AT_T_0:
            np.testing.assert_allclose(value, reference, rtol=0, atol=1e-5)
            continue
        if KEY_BIAS[0] in name:
            # Its gradient is 0 in exact arithmetic, so Adam steps by the learning rate, either way, for rounding.
            key = KEY_BIAS[1]
            np.testing.assert_allclose(value[key], reference[key], rtol=0, atol=2.01 * args["steps"] * args["lr"])
            value, reference = np.delete(value, key), np.delete(reference, key)
        assert_golden(case, name, value, reference)
