"""The model in a checkpoint: what its settings describe, held against its weights before memory is taken for it."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from diffusion.compute.device import resolve_device
from diffusion.compute.memory import without_memory
from diffusion.config.averages import chosen_weights
from diffusion.config.facts import check_facts
from diffusion.config.instantiate import restore
from diffusion.config.trust import OWN
from diffusion.data.conditions import Conditions, available
from diffusion.denoiser.denoiser import conditions_of
from diffusion.denoiser.diffusion import Diffusion
from diffusion.inference.trained import Trained
from diffusion.runs.printable import reason


def restore_model(
    state: dict[str, Any], *, ema: float | str | None, device: str, trust: Iterable[str] = (),
    parts: Mapping[str, Any] = MappingProxyType({}),
) -> Trained:  # fmt: skip
    """The model in the state of a checkpoint, with the weights that `ema` names: a rate, "off", or None.

    None takes the highest rate, or the weights themselves if no average was kept. `parts` stand in for those that a
    state does not describe, of a run that was begun in Python: its model, diffusion and conditions.
    """
    place = resolve_device(device)
    try:
        model = model_of_state(state, ema, trust, parts)
    except (RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(
            f"the checkpoint of step {state['step']} is not what its settings say ({reason(error)})"
        ) from error
    return model._replace(network=model.network.to(place).eval(), device=place)


def model_of_state(
    state: dict[str, Any], ema: float | str | None, trust: Iterable[str], parts: Mapping[str, Any]
) -> Trained:
    """The model that a state's own settings describe, with its weights; any error if they do not fit."""
    config = state["config"]
    check_facts(config)
    given = {name: part for name, part in parts.items() if part is not None}
    if any(config[part] is None and part not in given for part in ("model", "diffusion")):
        raise ValueError(
            "this run was begun in Python, with parts that do not keep their constructor's arguments; "
            "open it there: diffusion.load(path, network=..., diffusion=...)"
        )
    weights, name = chosen_weights(state, ema)
    network = copy.deepcopy(given.get("model")) or described_network(config["model"], weights, trust)
    load_exactly(network, weights, f"the checkpoint of step {state['step']}")
    diffusion = given.get("diffusion") or restore(config["diffusion"], "diffusion", trust=trust)
    shape, classes = tuple(config["shape"]), config["classes"]
    conditions = given.get("conditions") or {
        name: restore(node, f"conditions.{name}", trust=trust) for name, node in config["conditions"].items()
    }
    if "model" not in given:
        check_parts(network, diffusion, available(conditions, classes), shape)
    return Trained(
        network=network, diffusion=diffusion, shape=shape, classes=classes, config=config, step=state["step"],
        weights=name, device=torch.device("cpu"), conditions=conditions,
    )  # fmt: skip


def check_parts(network: nn.Module, diffusion: Diffusion, conditions: Conditions, shape: tuple[int, int, int]) -> None:
    """Raise ValueError unless a network can take images of that shape with what is told of them, and give what it must.

    What its settings do not say, as those of one's own network may not, is taken to be right.
    """
    if getattr(network, "classifies", False) != diffusion.loss.classifies:
        raise ValueError("of the network and the loss in the checkpoint only one is to classify")
    for name, needed in {"in_channels": shape[0], "out_channels": diffusion.outputs(shape[0])}.items():
        if (own := getattr(network, name, needed)) != needed:
            raise ValueError(f"the checkpoint describes a network of {name}={own}, and needs {needed}")
    if any(side % getattr(network, "stride", 1) for side in shape[1:]):
        raise ValueError(f"the checkpoint draws images of {shape}, which its network cannot halve so often")
    if untold := [name for name in conditions_of(network) if name not in conditions]:
        raise ValueError(f"the network in the checkpoint is told {untold[0]}, and the checkpoint does not say of what")
    for condition in conditions.values():
        condition.image_shape(shape)


def described_network(node: dict[str, Any], weights: Mapping[str, torch.Tensor], trust: Iterable[str]) -> nn.Module:
    """The network that a checkpoint's settings describe; ValueError before it takes any memory that `weights` do not.

    So much can be said of the networks of this program alone: what others do when they are built is theirs.
    """
    if str(node.get("_target_")).partition(".")[0] in OWN:
        with on_meta_with_at_most(2 * len(weights)):
            check_fit(restore(node, "model", trust=trust), weights, "the checkpoint")
    return restore(node, "model", trust=trust)


@contextmanager
def on_meta_with_at_most(number: int) -> Iterator[None]:
    """Networks that are built inside take no memory; ValueError as soon as they have more than so many parameters."""
    left = number

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("the checkpoint describes a network of more weights than it holds")

    counting = register_module_parameter_registration_hook(count)
    try:
        with without_memory():
            yield
    finally:
        counting.remove()


def load_exactly(network: nn.Module, weights: Mapping[str, torch.Tensor], origin: str) -> None:
    """Give a network weights under its own names; ValueError unless they fit to the last tensor."""
    check_fit(network, weights, origin)
    network.load_state_dict(weights)


def check_fit(network: nn.Module, weights: Mapping[str, torch.Tensor], origin: str) -> None:
    """Raise ValueError unless weights have exactly the names and shapes of a network's, and kinds of numbers."""
    theirs, ours = (
        {name: (*w.shape,) if w.is_floating_point() else ("whole numbers", *w.shape) for name, w in each.items()}
        for each in (weights, network.state_dict())
    )
    if wrong := [name for name in [*ours, *theirs] if theirs.get(name) != ours.get(name)]:
        has, needs = (shapes.get(wrong[0], "nothing") for shapes in (theirs, ours))
        raise ValueError(
            f"{origin} holds {has} for {wrong[0]}, the network {needs}; give the weights of the same network"
        )
