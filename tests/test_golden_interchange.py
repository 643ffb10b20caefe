"""Networks that diffusers holds too, by their weights under the original's names, and steps of its scheduler."""

import pytest
import torch
from modern_cases import assert_modern, modern, tensors

from diffusion import Ancestral, Chain, Cosine, Epsilon, FixedLarge, FixedSmall, LearnedRange, Linear
from diffusion.denoiser.denoiser import Denoiser, clip, transformed
from unet import UNet, load_released

VARIANCES = {"fixed_small": FixedSmall(), "fixed_large": FixedLarge(), "learned_range": LearnedRange()}


def network_of(args, size):
    per_head = args.get("num_head_channels")
    heads = {"heads": args["num_heads"]} if per_head is None else {"channels_per_head": per_head}
    return UNet(
        image_size=size,
        in_channels=args["in_channels"],
        out_channels=args["out_channels"],
        num_classes=args.get("num_classes"),
        base_channels=args["model_channels"],
        channel_mult=tuple(args["channel_mult"]),
        blocks_per_level=args["num_res_blocks"],
        attention_resolutions=tuple(size // factor for factor in args["attention_resolutions"]),
        scale_shift=args["use_scale_shift_norm"],
        resampling="residual" if args.get("resblock_updown") else "convolution",
        **heads,
    )


@pytest.mark.parametrize("case, inputs, expected", modern(28, "interchange"))
def test_networks(case, inputs, expected):
    given = tensors(inputs)
    network = network_of(case["args"]["openai_network"], given["x"].shape[-1])
    load_released(network, {name: torch.from_numpy(a) for name, a in inputs["openai_weights"].items()})
    y = {"y": given["y"].long()} if "y" in given else {}
    with torch.no_grad():
        got = network.eval()(given["x"].float(), given["t"].float(), **y)
    # In float32, where the numbers are those of float64: ten times what their own network loses in it.
    floor = case["outputs"]["out"]["noise_floor"]
    worst = (got.double() - torch.from_numpy(expected["out"])).abs().max().item()
    assert worst <= max(10 * floor, 2e-5 * abs(expected["out"]).max())


@pytest.mark.parametrize("case, inputs, expected", modern(28, "interchange_step"))
def test_reverse_steps(case, inputs, expected):
    config, inputs = case["args"]["scheduler_config"], tensors(inputs)
    schedule = {"linear": Linear(), "squaredcos_cap_v2": Cosine()}[config["beta_schedule"]]
    chain, samples, images = Chain(schedule.betas(config["num_train_timesteps"])), [], []
    for n, t in enumerate(case["args"]["original_step"]):
        one = slice(n, n + 1)
        network = lambda x, time, one=one: inputs["network_output"][one]  # noqa: E731
        denoise = transformed(Denoiser(network, Epsilon(), VARIANCES[config["variance_type"]]), clip)
        move = chain.move(torch.tensor([t]))
        levels = [move.here, move.there]
        if t > 0:  # a step that does not arrive at the image draws noise
            ((x, x_0),) = Ancestral().walk(denoise, levels, inputs["x"][one], lambda one=one: inputs["noise"][one])
        else:
            said = denoise(inputs["x"][one], move.here)
            x, x_0 = said.reverse(move).mean, said.x_0
        samples.append(x)
        images.append(x_0)
    assert_modern(case, "x0", torch.cat(images), expected["x0"])
    assert_modern(case, "sample", torch.cat(samples), expected["sample"])
