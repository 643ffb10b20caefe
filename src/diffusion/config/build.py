"""A training configuration, built: the network told the facts of the data, and the run around it."""

from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from diffusion.compute.device import resolve_device
from diffusion.compute.memory import bytes_of, check_room, without_memory
from diffusion.config import preflight
from diffusion.config.data_choice import absolute_paths
from diffusion.config.instantiate import instantiate, plain_values
from diffusion.config.subjects import subject_in_training
from diffusion.data.augmentation import NUMBERS, Augmentation
from diffusion.data.conditions import Condition, available
from diffusion.denoiser.diffusion import Diffusion
from diffusion.runs.redaction import redact_values
from diffusion.tracking.loggers import Loggers
from diffusion.training.trainer import Run, Trainer


def model(
    node: DictConfig, diffusion: Diffusion, *, shape: tuple[int, int, int], num_classes: int | None,
    label_dropout: bool = False, augmentation_numbers: int = 0,
) -> torch.nn.Module:  # fmt: skip
    """The network, told the facts of the data and the variance that its configuration leaves open.

    With `label_dropout` it knows one class more than the data: what stands for none of them.

    The facts are written into `node`, so that it describes the network without the data.
    """
    channels, height, width = shape
    size, outputs = min(height, width), diffusion.outputs(channels)
    labels = "the data have no labels" if num_classes is None else f"the data have {num_classes} classes"
    if num_classes is not None and label_dropout:
        num_classes, labels = num_classes + 1, f"{labels} and train.label_dropout takes one more"
    facts = {
        "image_size": (size, f"the data have image_size {size}"),
        "in_channels": (channels, f"the data have channels {channels}"),
        "out_channels": (outputs, f"{type(diffusion.variance).__name__} needs {outputs} output channels"),
        "num_classes": (num_classes, labels),
    }
    if node.get("augmentation_numbers") == 0:
        node.augmentation_numbers = augmentation_numbers
    for key, (fact, reason) in facts.items():
        if key not in node.keys():  # noqa: SIM118 (a missing value is not `in` the node)
            continue
        if OmegaConf.is_missing(node, key):
            node[key] = fact
        elif node[key] != fact and not (key == "num_classes" and node[key] is None):
            asked = "null" if fact is None else fact
            raise ValueError(f"model.{key}={node[key]}, but {reason}; set model.{key}={asked}")
    check_network_fits(node)
    network = instantiate(node)
    for option in getattr(network, "sizes_of_maps", ()):
        if option in node:
            node[option] = list(getattr(network, option))  # those that were counted from the coarsest, too
    return network


def check_network_fits(node: DictConfig) -> None:
    """Raise ValueError if the weights of the network are more than fits into memory; it is built without any."""
    try:
        with without_memory():
            network = instantiate(node)
    except (RuntimeError, TypeError, InstantiationException):
        return  # It computes as it is built, which weights without numbers do not allow.
    check_room(bytes_of(network), f"{type(network).__name__} as model=... describes it", "set a smaller model")


def build_conditions(nodes: dict[str, Any] | DictConfig) -> dict[str, Condition]:
    """What a configuration tells a network beside the time; a condition that is null tells nothing."""
    return {str(name): instantiate(node) for name, node in nodes.items() if node is not None}


def training(config: DictConfig, folder: Path) -> tuple[Trainer, Run]:
    """The trainer and the run that a training configuration describes, kept in `folder`."""
    preflight.check_configuration(config)
    device, diffusion, trainer = resolve_device(config.device), instantiate(config.diffusion), instantiate(config.train)
    for key, path in absolute_paths(plain_values(config.data)).items():
        if not OmegaConf.is_missing(config.data, key):
            config.data[key] = path
    images = instantiate(config.data)
    preflight.check_labels(diffusion.loss, images)
    told = available(build_conditions(config.conditions), images.classes)
    torch.manual_seed(config.seed)
    num_classes = len(images.classes or ()) if any(condition.needs_classes for condition in told.values()) else None
    numbers = NUMBERS if isinstance(told.get("augmentation"), Augmentation) else 0
    network = model(
        config.model, diffusion, shape=images.shape, num_classes=num_classes,
        label_dropout=trainer.label_dropout > 0, augmentation_numbers=numbers,
    )  # fmt: skip
    classes = list(images.classes or ()) if preflight.uses_classes(network, diffusion.loss) else None
    config.conditions = {name: node for name, node in config.conditions.items() if node is not None}
    values = plain_values(config)
    subject = subject_in_training(
        values["data"], images, batch_size=trainer.microbatch or trainer.batch_size, seed=config.seed
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
        logger=Loggers(instantiate(config.logger)),
        config=redact_values({**values, "shape": list(images.shape), "classes": classes}),
        subject=subject,
        objective=config.objective,
    )
    preflight.check_run(trainer, run)
    return trainer, run
