"""The names that improved-diffusion and guided-diffusion give to the parameters of these networks."""

from collections.abc import Iterator

from torch import nn

from .attention import AttentionBlock
from .blocks import Downsample, ResBlock
from .classifier import AttentionPool, Classifier
from .unet import UNet

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


def released_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """The network's own parameters by their released names, in the released order; the shapes are the same."""
    named = {}
    for place, module in _modules(of_a_released_kind(network)):
        parts = PARTS.get(type(module), {})
        for name, parameter in module.named_parameters():
            part, dot, rest = name.partition(".")
            named[f"{place}.{parts.get(part, part)}{dot}{rest}"] = parameter
    return named


RELEASED = (UNet, Classifier)


def of_a_released_kind(network: nn.Module) -> UNet | Classifier:
    """The network itself. ValueError if it is of a kind that was never released."""
    if not isinstance(network, UNet | Classifier):
        raise ValueError(
            f"{type(network).__name__} has no released names, only a UNet, SuperResolutionUNet or Classifier has; "
            "its checkpoints hold its weights under its own names"
        )
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
