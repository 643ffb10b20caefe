"""The weights that OpenAI released with improved-diffusion and guided-diffusion: what they are called there."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from .attention import AttentionBlock
from .blocks import Downsample, ResBlock
from .classifier import AttentionPool, Classifier
from .ddpm_unet import DDPMUNet
from .released_recipe import what_to_change
from .unet import UNet

RELEASED = (UNet, Classifier)
# What a module calls its parts here, and what the released files call them. Other parts have the same name in both.
PARTS: dict[type[nn.Module], dict[str, str]] = {
    ResBlock: {
        "norm_1": "in_layers.0",
        "conv_1": "in_layers.2",
        "condition": "emb_layers.1",
        "norm_2": "out_layers.0",
        "conv_2": "out_layers.3",
        "skip": "skip_connection",
    },
    AttentionBlock: {"projection": "proj_out"},
    AttentionPool: {"position": "positional_embedding", "qkv": "qkv_proj", "projection": "c_proj"},
    Downsample: {"layer": "op"},
}


def load_released(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Fills the network (UNet, SuperResolutionUNet or Classifier) with released weights. ValueError unless they fit
    this network to the last tensor."""
    weights = as_state_dict(weights, "the state dict")
    parameters = released_parameters(network)
    _check_fit(
        {name: tuple(tensor.shape) for name, tensor in weights.items()},
        {name: tuple(parameter.shape) for name, parameter in parameters.items()},
        of_a_released_kind(network).image_size,
    )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def export_released(network: nn.Module) -> dict[str, Tensor]:
    """The network's weights under the released names, in the released order: copies, for the original to load."""
    return {name: parameter.detach().clone() for name, parameter in released_parameters(network).items()}


def save_released(network: nn.Module, path: str | Path) -> None:
    """Writes the weights under the released names: a .pt file for the original to load, or a .safetensors file."""
    suffix, weights = Path(path).suffix, export_released(network)
    if suffix == ".safetensors":
        safetensors.torch.save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, path)
    elif suffix == ".pt":
        with open(path, "wb") as file:  # torch says nothing of why it cannot write to a file that it opens itself
            torch.save(weights, file)
    else:
        raise ValueError(f"{path} must end in .pt or .safetensors")


def as_state_dict(content: object, origin: str) -> dict[str, Tensor]:
    """The content as a state dict, or a ValueError that says what it is instead."""
    if not isinstance(content, Mapping) or not content:
        raise ValueError(
            f"{origin} holds {type(content).__name__}, not a state dict; give the file model*.pt or ema_*.pt"
        )
    if {"state", "param_groups"} <= content.keys():
        raise ValueError(f"{origin} holds the state of an optimizer; give the file model*.pt or ema_*.pt beside it")
    for key, value in content.items():
        if isinstance(value, Mapping):
            raise ValueError(f"{origin} wraps its tensors, under {key!r} and others; give the state dict inside")
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(f"{origin} holds {type(value).__name__} under {key!r}; give a state dict of tensors only")
    return dict(content)


def _check_fit(file: dict[str, tuple[int, ...]], network: dict[str, tuple[int, ...]], image_size: int) -> None:
    """ValueError about the first tensor, in the network's order, that the file lacks, has in another shape, or adds."""
    if file == network:
        return
    name = next(name for name in [*network, *file] if file.get(name) != network.get(name))
    theirs, ours = (f"has shape {shapes[name]}" if name in shapes else "does not occur" for shapes in (file, network))
    change = what_to_change(file, network, image_size)
    raise ValueError(f"{name} {theirs} in the file and {ours} in the network; {change}")


def released_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """The network's own parameters by their released names, in the released order; the shapes are the same."""
    return named_parameters_of(_modules(of_a_released_kind(network)), PARTS)


def named_parameters_of(
    modules: Iterable[tuple[str, nn.Module]], parts: Mapping[type[nn.Module], Mapping[str, str]]
) -> dict[str, nn.Parameter]:
    """The parameters of modules at their places in another program, which calls the parts of some kinds otherwise."""
    named = {}
    for place, module in modules:
        other = next((parts[kind] for kind in type(module).__mro__ if kind in parts), {})
        for name, parameter in module.named_parameters():
            part, dot, rest = name.partition(".")
            named[f"{place}.{other.get(part, part)}{dot}{rest}"] = parameter
    return named


def of_a_released_kind(network: nn.Module) -> UNet | Classifier:
    """The network itself. ValueError if it is of a kind that was never released."""
    if not isinstance(network, UNet | Classifier):
        raise ValueError(
            f"{type(network).__name__} has no released names, only a UNet, SuperResolutionUNet or Classifier has; "
            "its checkpoints hold its weights under its own names"
        )
    if isinstance(network, DDPMUNet):
        raise ValueError("a DDPMUNet computes what the original's code does not; write it with format=diffusers")
    if network.trunk.embedding.numbers is not None:
        raise ValueError(
            "a network that is told of augmentation has no released names; its checkpoints hold its weights"
        )
    if network.trunk.features.powers:
        raise ValueError("a network with fourier_features has no released names; its checkpoints hold its weights")
    return network


def _modules(network: UNet | Classifier) -> Iterator[tuple[str, nn.Module]]:
    """The modules that own parameters, each with its place in the released network."""
    trunk = network.trunk
    yield "time_embed", trunk.embedding.time
    if trunk.embedding.label is not None:
        yield "label_emb", trunk.embedding.label
    yield "input_blocks.0.0", trunk.stem
    for i, stage in enumerate(trunk.down, start=1):
        yield from _numbered(f"input_blocks.{i}", stage)
    yield from _numbered("middle_block", trunk.middle)
    if isinstance(network, UNet):
        for i, stage in enumerate(network.up):
            yield from _numbered(f"output_blocks.{i}", stage)
    yield from _numbered("out", network.head)


def _numbered(place: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for i, child in enumerate(module.children()):
        yield f"{place}.{i}", child
