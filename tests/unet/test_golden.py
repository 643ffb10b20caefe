"""The networks agree with the original's: outputs and gradients, from its own weights."""

import numpy as np
import pytest
import torch
from golden import load_golden

from unet import Classifier, SuperResolutionUNet, UNet, export_released, load_released, timestep_embedding
from unet.released_weights import released_parameters

CASES = {
    case["id"]: (case, inputs, outputs) for group in (8, 10, 14) for case, inputs, outputs in load_golden.cases(group)
}


def cases_of(runner):
    return pytest.mark.parametrize("name", [name for name, (case, *_) in CASES.items() if case["runner"] == runner])


def tensors(inputs):
    return {key: torch.from_numpy(value) for key, value in inputs.items() if not isinstance(value, dict)}


def agrees(case, key, ours, expected):
    """Ten times what one unit in the last place of every input changes, or float32's rounding of the largest value."""
    scale = case["outputs"][key]
    error = np.abs(ours.detach().numpy() - expected).max()
    assert error <= max(10 * scale["noise_floor"], 5e-7 * scale["max_abs"]), (key, error, scale)


def options(args, image_size):
    """The original's arguments in our words; its attention is placed by downsampling factors."""
    return {
        "image_size": image_size,
        "in_channels": args["in_channels"],
        "num_classes": args.get("num_classes"),
        "base_channels": args["base_channels"],
        "channel_mult": tuple(args["channel_multipliers"]),
        "blocks_per_level": args["res_blocks_per_level"],
        "attention_resolutions": tuple(image_size // factor for factor in args["attention_at_downsampling"]),
        **heads(args),
        "attention_order": args.get("qkv_split", "heads_first"),
        "scale_shift": args["scale_shift"],
        "resampling": "residual"
        if args.get("residual_resampling")
        else "convolution"
        if args.get("learned_resampling", True)
        else "pooling",
    }


def heads(args):
    """How the original counts heads: `channels_per_head` where it is given, whatever `heads` says."""
    given = args.get("channels_per_head")
    return {"heads": args.get("heads", 1), "channels_per_head": None} if given is None else {"channels_per_head": given}


def unet(args, image_size):
    kind = SuperResolutionUNet if args.get("super_resolution") else UNet
    return kind(
        **options(args, image_size),
        out_channels=args["out_channels"],
        heads_up=None if args.get("channels_per_head") else args.get("heads_upsampling_half"),
        dims=args.get("signal_dims", 2),
    )


@cases_of("time_embedding")
def test_time_embedding_agrees(name):
    case, inputs, outputs = CASES[name]
    args = case["args"]
    ours = timestep_embedding(torch.from_numpy(inputs["t"]), args["dim"], args.get("max_period", 10_000))
    agrees(case, "embedding", ours, outputs["embedding"])


@cases_of("network")
def test_network_agrees(name):
    case, inputs, outputs = CASES[name]
    given = tensors(inputs)
    x, time, cotangent = given.pop("x").requires_grad_(), given.pop("t"), given.pop("cotangent")
    network = unet(case["args"], x.shape[-1])
    weights = {key: torch.from_numpy(value) for key, value in inputs["weights"].items()}
    load_released(network, weights)

    out = network(x, time, **given)
    agrees(case, "out", out, outputs["out"])

    (out * cotangent).sum().backward()
    agrees(case, "grad_x", x.grad, outputs["grad_x"])
    # The gradient of the key bias is zero in exact arithmetic, so within its norm the noise floor covers it too.
    norms = torch.stack([parameter.grad.double().norm() for parameter in released_parameters(network).values()])
    agrees(case, "grad_norm_per_parameter", norms, outputs["grad_norm_per_parameter"])

    exported = export_released(network)
    assert list(exported) == list(weights)
    assert all(torch.equal(exported[key], weights[key]) for key in weights)


@cases_of("network_error")
def test_what_fails_in_the_original_works_here(name):
    args = CASES[name][0]["args"]
    if args.get("unpatched_pool"):
        args = CASES["network_c"][0]["args"]
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(unet(args, 8)(x, torch.tensor([0, 9])), torch.zeros(2, 3, 8, 8))


@cases_of("classifier")
def test_classifier_agrees(name):
    case, inputs, outputs = CASES[name]
    args, given = case["args"], tensors(inputs)
    chosen = options(args, args["image_size"]) | {"num_classes": args["out_channels"], "pool": args["pool"]}
    network = Classifier(**chosen)
    parts = ("trunk_weights", "head_weights_extra", "head_weights")
    weights = {key: torch.from_numpy(value) for part in parts for key, value in inputs.get(part, {}).items()}
    load_released(network, weights)

    x = given["x"].requires_grad_()
    logits = network(x, given["t"])
    agrees(case, "logits", logits, outputs["logits"])
    log_prob = logits.log_softmax(dim=1).gather(1, given["y"][:, None])
    log_prob.sum().backward()
    agrees(case, "grad_x_of_sum_log_prob_of_y", x.grad, outputs["grad_x_of_sum_log_prob_of_y"])

    assert list(export_released(network)) == list(weights)
