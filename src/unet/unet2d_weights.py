"""The weights of a UNet under the names that diffusers' UNet2DModel gives them, and networks read from its files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from einops import rearrange
from torch import Tensor, nn

from .attention import ORDERS, AttentionBlock
from .blocks import Downsample, ResBlock
from .ddpm_unet import DDPMUNet
from .released_weights import named_parameters_of
from .unet import UNet
from .unet2d_config import DETAILS, check_mappable, network_options
from .unet2d_settings import DEFAULTS, completed_config

PARTS: dict[type[nn.Module], dict[str, str]] = {
    ResBlock: {
        "norm_1": "norm1",
        "conv_1": "conv1",
        "condition": "time_emb_proj",
        "norm_2": "norm2",
        "conv_2": "conv2",
        "skip": "conv_shortcut",
    },
    AttentionBlock: {"norm": "group_norm", "projection": "to_out.0"},
    Downsample: {"layer": "conv"},
}
# The blocks of a stage, by their names here; the number of a stage counts those of its level.
BLOCKS = {
    "residual": "resnets.{}",
    "attention": "attentions.{}",
    "downsample": "downsamplers.0",
    "upsample": "upsamplers.0",
    "residual_1": "resnets.0",
    "residual_2": "resnets.1",
}
# What older files call the layers of attention.
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
OLD_NAME = re.compile(rf"(\.attentions\.\d+\.)({'|'.join(OLD_NAMES)})(?=\.)")
FLOATS = ("F32", "F16", "BF16", "F64")


class View(NamedTuple):
    """A part of a parameter that is a tensor there: the part, in the layout that it has here, and its shape there."""

    part: Tensor
    shape: tuple[int, ...]


def unet2d_tensors(network: UNet) -> dict[str, Tensor]:
    """The network's weights under the names of UNet2DModel: copies. ValueError for a network that it is not like."""
    check_mappable(network)
    return {name: view.part.reshape(view.shape).detach().clone() for name, view in views(network).items()}


def read_unet2d(config: Mapping[str, Any], path: str | Path) -> UNet:
    """The network of a UNet2DModel: its configuration, and the .safetensors file of its weights.

    ValueError for a configuration that no network of this program follows, and for a file that does not fit it to the
    last tensor; no memory is taken before that is known.
    """
    given, options = completed_config(config), network_options(config)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = {current_name(name): name for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            slices = {name: file.get_slice(old) for name, old in names.items()}
            if len(given["block_out_channels"]) * given["layers_per_block"] > len(names):
                raise ValueError(f"its configuration has more layers than the {len(names)} tensors of {path}")
            with torch.device("meta"):
                network = unet_of(options)
            check_tensors(slices, views(network), path)
            network.to_empty(device="cpu")
            with torch.no_grad():
                for name, view in views(network).items():
                    view.part.copy_(file.get_tensor(names[name]).view(view.part.shape))
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or no file of safetensors ({' '.join(str(error).split())[:100]})"
        ) from error
    if not given["flip_sin_to_cos"]:
        put_cosines_first(network.trunk.embedding.time[0])
    return network


def unet_of(options: dict[str, Any]) -> UNet:
    """The network of these options: a plain UNet where its details are a UNet's."""
    plain = {key: value for key, value in options.items() if key not in DETAILS}
    usual = all(options[key] == DEFAULTS[key] for key in DETAILS)
    return UNet(**plain) if usual else DDPMUNet(**options)


def check_tensors(file: Mapping[str, Any], network: Mapping[str, View], path: str | Path) -> None:
    """ValueError about the first tensor that the file lacks, adds, or has in another shape or in whole numbers."""
    for name in [*network, *file]:
        if name not in file or name not in network:
            where = f"in {path}, and its configuration has it" if name in network else "in the configuration"
            raise ValueError(f"{name!r:.100} does not occur {where}")
        shape, dtype = tuple(file[name].get_shape()), file[name].get_dtype()
        if shape != network[name].shape:
            raise ValueError(f"{name} has shape {shape} in {path}, {network[name].shape} by its configuration")
        if dtype not in FLOATS:
            raise ValueError(f"{name} is of type {dtype} in {path}; give weights of {', '.join(FLOATS)}")


@torch.no_grad()
def put_cosines_first(layer: nn.Module) -> None:
    """Turn a linear layer of the time's [sines, cosines] into one of [cosines, sines], in place."""
    both = layer.weight[:, : layer.weight.shape[1] // 2 * 2]  # type: ignore[index]
    both.copy_(both.roll(both.shape[1] // 2, dims=1))


def current_name(name: str) -> str:
    """What UNet2DModel calls the tensor that older files call `name`; `name` where that has not changed."""
    return OLD_NAME.sub(lambda match: match[1] + OLD_NAMES[match[2]], name)


def views(network: UNet) -> dict[str, View]:
    """The network's own parameters by their names in UNet2DModel; changing them in place changes the network."""
    found: dict[str, View] = {}
    for place, module in places(network):
        for name, parameter in named_parameters_of([(place, module)], PARTS).items():
            if not isinstance(module, AttentionBlock):
                found[name] = View(parameter, tuple(parameter.shape))
            elif ".qkv." in name:
                parts = rearrange(parameter, qkv_pattern(module.order), heads=module.heads, qkv=3)
                shape = (len(parameter) // 3, *parameter.shape[1:2])
                found |= {
                    name.replace("qkv", f"to_{one}"): View(part, shape) for one, part in zip("qkv", parts, strict=True)
                }
            else:  # a linear layer there, a convolution of width 1 here
                found[name] = View(parameter, tuple(parameter.shape[:2]))
    return found


def qkv_pattern(order: str) -> str:
    """The pattern that parts the 3C rows of an attention's first layer into queries, keys and values."""
    rows = ORDERS[order].partition("(")[2].partition(")")[0]
    return f"({rows}) ... -> qkv heads c ..."


def places(network: UNet) -> Iterator[tuple[str, nn.Module]]:
    """The modules that own parameters, each with its place in a UNet2DModel."""
    trunk = network.trunk
    yield "conv_in", trunk.stem
    yield "time_embedding.linear_1", trunk.embedding.time[0]
    yield "time_embedding.linear_2", trunk.embedding.time[2]
    if trunk.embedding.label is not None:
        yield "class_embedding", trunk.embedding.label
    yield from in_stage("mid_block", trunk.middle, 0)
    for half, stages in (("down_blocks", trunk.down), ("up_blocks", network.up)):
        for position, stage in enumerate(stages):
            level, number = divmod(position, network.blocks_per_level + 1)
            yield from in_stage(f"{half}.{level}", stage, number)
    yield "conv_norm_out", network.head[0]
    yield "conv_out", network.head[2]


def in_stage(place: str, stage: nn.Module, number: int) -> Iterator[tuple[str, nn.Module]]:
    for name, block in stage.named_children():
        yield f"{place}.{BLOCKS[name].format(number)}", block
