"""The options of a UNet as the configuration of diffusers' UNet2DModel, and back."""

from typing import Any

from .attention import AttentionBlock
from .ddpm_unet import DDPMUNet
from .unet import UNet
from .unet2d_settings import DEFAULTS, FIXED, RESAMPLINGS, SHIFTS, Config, completed_config

# Options that both have, by their names there.
SAME = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "layers_per_block": "blocks_per_level",
    "dropout": "dropout",
    "norm_num_groups": "norm_groups",
    "num_class_embeds": "num_classes",
}
DETAILS = ("downsample_padding", "freq_shift", "norm_eps")  # DDPMUNet's own


def unet2d_config(network: UNet) -> dict[str, Any]:
    """The configuration of the UNet2DModel that computes what `network` does; ValueError says why there is none."""
    check_mappable(network)
    kind, plain = RESAMPLINGS[network.resampling]
    down, up = (
        [f"Attn{way}Block2D" if level.attends else plain.format(way) for level in network.levels]
        for way in ("Down", "Up")
    )
    return {
        "_class_name": "UNet2DModel",
        **DEFAULTS,
        **FIXED,
        **{theirs: getattr(network, ours) for theirs, ours in SAME.items()},
        **{key: getattr(network, key, DEFAULTS[key]) for key in DETAILS},
        "sample_size": network.image_size,
        "block_out_channels": [level.channels for level in network.levels],
        "down_block_types": down,
        "up_block_types": up[::-1],
        "downsample_type": kind,
        "upsample_type": kind,
        "attention_head_dim": head_width(network),
        "attn_norm_num_groups": network.norm_groups,
        "resnet_time_scale_shift": SHIFTS[network.scale_shift],
    }


def check_mappable(network: object) -> None:
    """Raise ValueError unless UNet2DModel has the layers of `network`."""
    if type(network) not in (UNet, DDPMUNet):
        raise no_counterpart(f"{type(network).__name__} is no unet.UNet, the one network that it is like")
    assert isinstance(network, UNet)
    if network.augmentation_numbers:
        raise no_counterpart("it is told of no augmentation")
    if network.fourier_features:
        raise no_counterpart("it sees pixels alone, without fourier_features")
    if network.dims != 2:
        raise no_counterpart(f"it has 2 dimensions, the network {network.dims}")
    if network.resampling not in RESAMPLINGS:
        raise no_counterpart(f"it has no resampling={network.resampling}, only {' and '.join(RESAMPLINGS)}")
    if network.channel_mult[0] != 1:
        raise no_counterpart(
            f"its first level is as wide as base_channels, and here {network.channel_mult[0]} times as wide"
        )


def head_width(network: UNet) -> int | None:
    """The channels of every head, None for one head everywhere; ValueError where heads differ."""
    attentions = [module for module in network.modules() if isinstance(module, AttentionBlock)]
    widths = sorted({module.norm.num_channels // module.heads for module in attentions})
    if all(module.heads == 1 for module in attentions):
        return None
    if len(widths) > 1:
        raise no_counterpart(
            f"all its heads have the same number of channels, and here they have {' or '.join(map(str, widths))} "
            "(train with model.channels_per_head=...)"
        )
    return widths[0]


def no_counterpart(why: str) -> ValueError:
    return ValueError(f"this network cannot be a UNet2DModel of diffusers: {why}; out=model.pt keeps its weights")


def network_options(config: Config) -> dict[str, Any]:
    """The options of the DDPMUNet that computes what the UNet2DModel of `config` does; ValueError if there is none."""
    given = completed_config(config)
    channels, kinds = given["block_out_channels"], given["down_block_types"]
    attends = ["Attn" in kind for kind in kinds]
    (resampling,) = [ours for ours, (theirs, _) in RESAMPLINGS.items() if theirs == given["downsample_type"]]
    size, heads = min(image_sides(given)), given["attention_head_dim"]
    return {
        **{ours: given[theirs] for theirs, ours in SAME.items()},
        **{key: given[key] for key in DETAILS},
        "image_size": size,
        "base_channels": channels[0],
        "channel_mult": tuple(width // channels[0] for width in channels),
        "attention_resolutions": tuple(size >> i for i, attending in enumerate(attends) if attending),
        "heads" if heads is None else "channels_per_head": heads or 1,
        "scale_shift": given["resnet_time_scale_shift"] == SHIFTS[True],
        "resampling": resampling,
    }


def image_sides(config: Config) -> tuple[int, int]:
    """Height and width of the images of a configuration that is whole."""
    size = config["sample_size"]
    return (size, size) if isinstance(size, int) else (size[0], size[1])
