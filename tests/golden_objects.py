"""The released code's arguments, as they stand in the golden cases, in our objects."""

from __future__ import annotations

import torch

from diffusion import (
    VLB,
    Cosine,
    Epsilon,
    FixedLarge,
    FixedSmall,
    GaussianDiffusion,
    Hybrid,
    Learned,
    LearnedRange,
    Linear,
    Previous,
    Simple,
    Start,
)
from diffusion.process.respacing import kept_steps
from unet import UNet, load_released

SCHEDULES = {"linear": Linear(), "cosine": Cosine()}
PREDICTIONS = {"eps": Epsilon(), "x0": Start(), "previous": Previous()}
VARIANCES = {
    "fixed_small": FixedSmall(),
    "fixed_large": FixedLarge(),
    "learned": Learned(),
    "learned_range": LearnedRange(),
}


def loss_named(kind: str, variance, steps: int):
    """The released code's four loss kinds in the paper's terms: lambda is 1/T, or 0.001 where it rescales."""
    if kind in ("kl", "rescaled_kl"):
        return VLB(weight=1 / steps if kind == "kl" else 1.0)
    if not variance.outputs:
        return Simple()
    return Hybrid(vlb_weight=1 / steps if kind == "mse" else 0.001)


def diffusion_of(args: dict) -> GaussianDiffusion:
    variance = VARIANCES[args.get("variance", "fixed_small")]
    diffusion = GaussianDiffusion(
        steps=args["T"],
        schedule=SCHEDULES[args["schedule"]],
        prediction=PREDICTIONS[args.get("network_predicts", "eps")],
        variance=variance,
        loss=loss_named(args.get("loss", "kl"), variance, args["T"]),
        rescale_times=args.get("rescale_times", False),
    )
    return diffusion.respace(kept_steps(args["T"], args["keep"])) if "keep" in args else diffusion


def network_of(args: dict, weights: dict, image_size: int) -> UNet:
    """The U-Net of a loop's `network`, with the original's weights; it attended by factors, ours by sizes."""
    network = UNet(
        image_size=image_size,
        in_channels=args["in_channels"],
        out_channels=args["out_channels"],
        base_channels=args["base_channels"],
        channel_mult=tuple(args["channel_multipliers"]),
        blocks_per_level=args["res_blocks_per_level"],
        attention_resolutions=tuple(image_size // factor for factor in args["attention_at_downsampling"]),
        heads=args["heads"],
        scale_shift=args["scale_shift"],
    )
    load_released(network, {name: torch.from_numpy(array) for name, array in weights.items()})
    return network
