"""What the names and shapes in a released file tell about the options of its network."""

import re
from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

STEM = "input_blocks.0.0.weight"
RESIDUAL_UPSAMPLER = re.compile(r"output_blocks\.\d+\.[12]\.in_layers\.0\.weight")
LIKELY_OPTIONS = ("image_size", "channel_mult", "blocks_per_level", "attention_resolutions", "resampling", "pool")


def what_to_change(file: Shapes, network: Shapes, image_size: int) -> str:
    """The overrides that bring the network closer to the file, such as "set model.base_channels=192"."""
    try:
        return overrides(file, network, image_size)
    except (LookupError, ValueError, ArithmeticError):  # what has other names, or shapes that none of its layers has
        return "the file is not from improved-diffusion or guided-diffusion"


def overrides(file: Shapes, network: Shapes, image_size: int) -> str:
    """The same for a file of theirs; any error for another."""
    if file[STEM][1] == 2 * network[STEM][1]:
        return "set model._target_=unet.SuperResolutionUNet"
    if file[STEM][1] * 2 == network[STEM][1]:
        return "set model._target_=unet.UNet"
    ours, theirs = recipe(network, image_size), recipe(file, image_size)
    if theirs.get("channel_mult") != ours.get("channel_mult"):
        # Other levels are probably those of another image size, and then the file's sizes are not known.
        theirs.pop("attention_resolutions", None)
    # A list in quotes, since brackets mean something to the shell.
    changed = [
        f"'model.{key}={value}'" if value.startswith("[") else f"model.{key}={value}"
        for key, value in theirs.items()
        if value != ours.get(key)
    ]
    return f"set {' '.join(changed)}" if changed else f"compare {', '.join(LIKELY_OPTIONS)} with the file's recipe"


def recipe(shapes: Shapes, image_size: int) -> dict[str, str]:
    """The options that names and shapes give away, as they are typed; what they leave open is left out."""
    options = {
        "base_channels": str(shapes["time_embed.0.weight"][1]),
        "in_channels": str(shapes[STEM][1]),
        "dims": str(len(shapes[STEM]) - 2),
        "num_classes": str(shapes.get("label_emb.weight", ["null"])[0]),
    }
    modulation = shapes.get("input_blocks.1.0.emb_layers.1.bias")
    normalised = shapes.get("input_blocks.1.0.out_layers.0.bias")
    if modulation and normalised:
        options["scale_shift"] = "true" if modulation[0] == 2 * normalised[0] else "false"
    if "out.2.weight" in shapes and any(name.startswith("output_blocks.") for name in shapes):
        options["out_channels"] = str(shapes["out.2.weight"][0])
    return options | level_options(shapes, image_size)


def level_options(shapes: Shapes, image_size: int) -> dict[str, str]:
    """The options of the levels; none if nothing shows where the size is halved."""
    present = {int(name.split(".")[1]) for name in shapes if name.startswith("input_blocks.")}
    blocks = max(present) + 1
    halvings = {
        "convolution": sum(name.endswith(".op.weight") for name in shapes),
        "residual": sum(RESIDUAL_UPSAMPLER.fullmatch(name) is not None for name in shapes),
        "pooling": blocks - len(present),
    }
    resampling = max(halvings, key=lambda kind: halvings[kind])
    levels = halvings[resampling] + 1
    # The first convolution and each halving count as a block: every level has one more than its own.
    firsts = [f"input_blocks.{i}" for i in range(1, blocks, max(1, blocks // levels))]
    widths = [shapes.get(f"{first}.0.in_layers.2.weight", [0])[0] for first in firsts]
    if levels == 1 or 0 in widths:
        return {}
    mults = [width // shapes["time_embed.0.weight"][1] for width in widths]
    sizes = [image_size >> i for i, first in enumerate(firsts) if f"{first}.1.qkv.weight" in shapes]
    return {
        "channel_mult": str(mults).replace(" ", ""),
        "blocks_per_level": str(blocks // levels - 1),
        "attention_resolutions": str(sizes).replace(" ", ""),
        "resampling": resampling,
    }
