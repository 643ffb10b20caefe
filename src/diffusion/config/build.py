"""From a configuration to objects: the only caller of `instantiate`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from diffusion.compute.device import resolve_device
from diffusion.config import preflight
from diffusion.config.data_choice import absolute_paths
from diffusion.config.signature import signature
from diffusion.config.subjects import subject_in_training
from diffusion.config.trust import check_checkpoint_targets, check_user_targets, children
from diffusion.data.conditions import Condition, available
from diffusion.data.images import Images
from diffusion.denoiser.diffusion import Diffusion
from diffusion.runs.redaction import redact_values
from diffusion.training.trainer import Run, Trainer


def instantiate(node: DictConfig, **given: Any) -> Any:
    """The object that a node of the user's own configuration describes; `given` replaces arguments by objects.

    ValueError if a class in it cannot be imported or does not belong there, or a value is missing. What a constructor
    refuses comes out as it was raised.
    """
    plain = plain_values(node)
    check_user_targets(plain, place_of(node))
    if missing := sorted(OmegaConf.missing_keys(node)):
        raise ValueError(f"{missing[0]} has no value; give it one: {missing[0]}=...")
    check_nulls(plain, place_of(node))
    return construct(plain, **given)


def restore(node: dict[str, Any], part: str, *, trust: Iterable[str] = ()) -> Any:
    """The object that a checkpoint's settings describe; ValueError if they name what a checkpoint may not."""
    if not isinstance(node, dict):  # OmegaConf would read a string as YAML
        raise ValueError(f"{part}={node!r:.60} in the checkpoint is refused: it describes no object")
    check_checkpoint_targets(node, part, trust)
    return construct(node)


def check_nulls(node: Any, place: str) -> None:
    """Raise ValueError if an argument is null that its constructor cannot do without."""
    target = str(node["_target_"]) if isinstance(node, dict) and "_target_" in node else None
    settings = {} if target is None else signature(target).settings
    for key, child in children(node):
        inner = f"{place}.{key}".lstrip(".")
        if child is None and key in settings and not settings[key].takes_none:
            raise ValueError(f"{inner} is null, and {target} cannot be built without it; leave {inner}=null out")
        check_nulls(child, inner)


def construct(node: dict[str, Any], **given: Any) -> Any:
    try:
        return hydra.utils.instantiate(OmegaConf.create(node), _convert_="all", **given)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError):
            raise error.__cause__ from None
        raise


def place_of(node: DictConfig) -> str:
    """The key of a node in its configuration, such as "train.optimizer"; "" for a whole configuration."""
    return node._get_full_key(None)


def plain_values(node: DictConfig) -> dict[str, Any]:
    """The configuration as a checkpoint may hold it: dicts, lists, strings and numbers."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, enum_to_str=True))


def model(
    node: DictConfig, diffusion: Diffusion, *, shape: tuple[int, int, int], num_classes: int | None
) -> torch.nn.Module:
    """The network, told the facts of the data and the variance that its configuration leaves open.

    The facts are written into `node`, so that it describes the network without the data.
    """
    channels, height, width = shape
    facts = {
        "image_size": min(height, width),
        "in_channels": channels,
        "out_channels": diffusion.outputs(channels),
        "num_classes": num_classes,
    }
    for key, fact in facts.items():
        if key not in node.keys():  # noqa: SIM118 (a missing value is not `in` the node)
            continue
        if OmegaConf.is_missing(node, key):
            node[key] = fact
        elif node[key] != fact and not (key == "num_classes" and node[key] is None):
            raise ValueError(
                f"model.{key}={node[key]}, but {reason(key, fact, diffusion)}; "
                f"set model.{key}={'null' if fact is None else fact}"
            )
    return instantiate(node)


def reason(key: str, fact: Any, diffusion: Diffusion) -> str:
    if key == "out_channels":
        return f"{type(diffusion.variance).__name__} needs {fact} output channels"
    if key == "num_classes":
        return "the data have no labels" if fact is None else f"the data have {fact} classes"
    return f"the data have {key.replace('in_', '')} {fact}"


def images_of(node: DictConfig) -> Images:
    """The images of a configuration of data, whose files and folders are made absolute in it."""
    for key, path in absolute_paths(plain_values(node)).items():
        if not OmegaConf.is_missing(node, key):
            node[key] = path
    return instantiate(node)


def images_from(settings: dict[str, Any]) -> Images:
    """The images that plain values describe, as the user named them."""
    return instantiate(OmegaConf.create({"data": settings}).data)


def build_conditions(nodes: dict[str, Any] | DictConfig) -> dict[str, Condition]:
    """What a configuration tells a network beside the time; a condition that is null tells nothing."""
    return {str(name): instantiate(node) for name, node in nodes.items() if node is not None}


def training(config: DictConfig, folder: Path) -> tuple[Trainer, Run]:
    """The trainer and the run that a training configuration describes, kept in `folder`."""
    preflight.check_configuration(config)
    device, diffusion, trainer = resolve_device(config.device), instantiate(config.diffusion), instantiate(config.train)
    images = images_of(config.data)
    preflight.check_labels(diffusion.loss, images)
    told = available(build_conditions(config.conditions), images.classes)
    torch.manual_seed(config.seed)
    num_classes = len(images.classes or ()) if any(condition.needs_classes for condition in told.values()) else None
    network = model(config.model, diffusion, shape=images.shape, num_classes=num_classes)
    classes = list(images.classes or ()) if preflight.uses_classes(network, diffusion.loss) else None
    values = plain_values(config)
    subject = subject_in_training(
        values["data"], images, read=images_from, batch_size=trainer.microbatch or trainer.batch_size, seed=config.seed
    )
    run = Run(
        folder=folder,
        seed=config.seed,
        device=device,
        model=network,
        diffusion=diffusion,
        images=images,
        conditions=available(told, classes),
        sampler=instantiate(config.sampler),
        logger=instantiate(config.logger),
        config=redact_values({**values, "shape": list(images.shape), "classes": classes}),
        subject=subject,
        objective=config.objective,
    )
    preflight.check_run(trainer, run)
    return trainer, run
