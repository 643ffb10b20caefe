"""The settings of diffusers' UNet2DModel, and which of their values a network of this program can follow."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Config = Mapping[str, Any]

# What UNet2DModel takes for an option that is not given, where a network of this program can follow; an older file
# leaves out what it did not know.
DEFAULTS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 2,
    "dropout": 0.0,
    "norm_num_groups": 32,
    "num_class_embeds": None,
    "block_out_channels": [224, 448, 672, 896],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "downsample_type": "conv",
    "upsample_type": "conv",
    "attention_head_dim": 8,
    "attn_norm_num_groups": None,
    "resnet_time_scale_shift": "default",
    "flip_sin_to_cos": True,
    "time_embedding_dim": None,
    "num_train_timesteps": None,
    "downsample_padding": 1,
    "freq_shift": 0,
    "norm_eps": 1e-5,
}
# What it has in common with every network of this program.
FIXED = {
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "add_attention": True,
    "class_embed_type": None,
}
# Our resampling, its type there, and the blocks of a level that does not attend.
RESAMPLINGS = {"convolution": ("conv", "{}Block2D"), "residual": ("resnet", "Resnet{}sampleBlock2D")}
SHIFTS = {False: "default", True: "scale_shift"}
MOST = 2**16  # channels, layers, classes


def completed_config(config: Config) -> dict[str, Any]:
    """The whole configuration; ValueError where it says what no network of this program does."""
    if unknown := sorted(key for key in config if not key.startswith("_") and key not in DEFAULTS | FIXED):
        raise ValueError(f"it has a setting {unknown[0]!r:.60}, which this program does not know")
    given = {**DEFAULTS, **FIXED, **config}
    for key, rule in RULES.items():
        if not rule.holds(given[key], given):
            raise ValueError(f"{key}={given[key]!r:.60}, where a network of this program has {rule.what}")
    return given


class Rule(NamedTuple):
    """(value, the whole configuration) -> whether a network of this program can have it, and what it would have."""

    holds: Callable[[Any, Config], bool]
    what: str


def only(fixed: object) -> Rule:
    return Rule(lambda value, _: value == fixed, repr(fixed))


def is_count(value: object) -> bool:
    return type(value) is int and 1 <= value <= MOST


def is_share(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 1  # type: ignore[operator]


def are_multiples(widths: Any) -> bool:
    return is_list(widths, range(1, 17)) and all(map(is_count, widths)) and all(n % widths[0] == 0 for n in widths)


def is_list(value: object, lengths: range) -> bool:
    return isinstance(value, list) and len(value) in lengths


def are_blocks(blocks: Any, way: str, config: Config) -> bool:
    """Whether these are the blocks of a U-Net that resamples in one way; the last of a half does not resample."""
    levels = len(config["block_out_channels"])
    if not is_list(blocks, range(levels, levels + 1)):
        return False
    plain = {kind: name.format(way) for kind, name in RESAMPLINGS.values()}
    known = [[plain[config["downsample_type"]]]] * (levels - 1) + [list(plain.values())]
    return all(block in [f"Attn{way}Block2D", *names] for block, names in zip(blocks, known, strict=True))


def mirrors(blocks: list[str], config: Config) -> bool:
    """Whether the levels that attend going up are those that attend going down."""
    up, down = (["Attn" in block for block in each] for each in (blocks, config["down_block_types"]))
    return up == down[::-1]


def normalises(groups: object, config: Config) -> bool:
    """Whether the attention in the middle is normalised as the others are: without groups of its own, not always."""
    every = config["norm_num_groups"]
    return groups == every or (groups is None and config["resnet_time_scale_shift"] == SHIFTS[False])


RULES = {
    **{key: only(value) for key, value in FIXED.items()},
    **dict.fromkeys(
        ("in_channels", "out_channels", "layers_per_block", "norm_num_groups"),
        Rule(lambda value, _: is_count(value), "a number of 1 or more"),
    ),
    **dict.fromkeys(
        ("num_class_embeds", "attention_head_dim"),
        Rule(lambda value, _: value is None or is_count(value), "a number of 1 or more, or null"),
    ),
    "sample_size": Rule(
        lambda size, _: is_count(size) or (is_list(size, range(2, 3)) and all(map(is_count, size))),
        "the size of its images",
    ),
    "block_out_channels": Rule(lambda widths, _: are_multiples(widths), "multiples of the first"),
    "time_embedding_dim": Rule(
        lambda width, config: width in (None, 4 * config["block_out_channels"][0]), "4 times the first width"
    ),
    "downsample_type": Rule(lambda kind, _: kind in [k for k, _ in RESAMPLINGS.values()], "conv or resnet"),
    "upsample_type": Rule(lambda kind, config: kind == config["downsample_type"], "the same as downsample_type"),
    "down_block_types": Rule(
        lambda blocks, config: are_blocks(blocks, "Down", config),
        "a [Resnet]Down[sample]Block2D or AttnDownBlock2D each",
    ),
    "up_block_types": Rule(
        lambda blocks, config: are_blocks(blocks, "Up", config) and mirrors(blocks, config), "down_block_types, turned"
    ),
    "resnet_time_scale_shift": Rule(lambda kind, _: kind in list(SHIFTS.values()), "default or scale_shift"),
    "attn_norm_num_groups": Rule(normalises, "norm_num_groups"),
    "flip_sin_to_cos": Rule(lambda flip, _: isinstance(flip, bool), "true or false"),
    **dict.fromkeys(("downsample_padding", "freq_shift"), Rule(lambda n, _: type(n) is int and n in (0, 1), "0 or 1")),
    **dict.fromkeys(("dropout", "norm_eps"), Rule(lambda value, _: is_share(value), "a number below 1")),
}
