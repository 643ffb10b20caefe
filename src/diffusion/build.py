"""From a configuration to objects: the only caller of `instantiate`."""

from __future__ import annotations

import pkgutil
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from diffusion import agreement, run_folder
from diffusion.data import batches
from diffusion.evaluation import Subject
from diffusion.gaussian import GaussianDiffusion
from diffusion.trained import Trained
from diffusion.training import Run, Trainer

PACKAGES = ("diffusion", "unet", "torch.optim")


def instantiate(node: DictConfig, **given: Any) -> Any:
    """The object that a node describes; ValueError if a `_target_` in it is not allowed, or a value is missing."""
    for target in targets(OmegaConf.to_container(node, resolve=True)):
        check_target(target)
    missing = sorted(key for key in OmegaConf.missing_keys(node) if key not in given)
    if missing:
        raise ValueError(f"{missing[0]} has no value; give it one: {missing[0]}=...")
    return hydra.utils.instantiate(node, _convert_="all", **given)


def targets(node: Any) -> list[str]:
    """Every `_target_` at any depth."""
    if isinstance(node, list):
        return [target for child in node for target in targets(child)]
    if not isinstance(node, dict):
        return []
    mine = [str(node["_target_"])] if "_target_" in node else []
    return mine + [target for child in node.values() for target in targets(child)]


def check_target(target: str) -> None:
    """Refuse what is no class of the allowed packages and no optimizer: a function could write files.

    A name that begins elsewhere is not even looked up, since importing runs code.
    """
    refused = ValueError(f"_target_={target} is refused: only classes of {', '.join(PACKAGES)} may be built")
    if not inside(target):
        raise refused
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"_target_={target} does not exist") from None
    module = getattr(found, "__module__", None) or ""
    if not inside(module) or not (isinstance(found, type) or module == "diffusion.training.optimizer"):
        raise refused


def inside(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in PACKAGES)


def plain_values(node: DictConfig) -> dict[str, Any]:
    """The configuration as a checkpoint may hold it: dicts, lists, strings and numbers."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, enum_to_str=True))


def device_named(name: str) -> torch.device:
    """"auto" is a GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={name} cannot be used ({reason}); device=cpu always can") from None
    return device


def model(
    node: DictConfig, diffusion: GaussianDiffusion, *, shape: tuple[int, int, int], num_classes: int | None
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
            raise ValueError(f"model.{key}={node[key]}, but {reason(key, fact, diffusion)}; leave it out")
    return instantiate(node)


def reason(key: str, fact: Any, diffusion: GaussianDiffusion) -> str:
    if key == "out_channels":
        return f"{type(diffusion.variance).__name__} needs {fact} output channels (model.out_channels={fact})"
    if key == "num_classes":
        return "the data have no labels" if fact is None else f"the data have {fact} classes"
    return f"the data have {key.replace('in_', '')} {fact}"


def training(config: DictConfig, folder: Path) -> tuple[Trainer, Run]:
    """The trainer and the run that a training configuration describes, kept in `folder`."""
    device = device_named(config.device)
    diffusion = instantiate(config.diffusion)
    trainer = instantiate(config.train)
    sampler, logger = instantiate(config.sampler), instantiate(config.logger)
    images = instantiate(config.data)
    agreement.check_labels(diffusion.loss, images)
    torch.manual_seed(config.seed)
    num_classes = None if images.classes is None else len(images.classes)
    network = model(config.model, diffusion, shape=images.shape, num_classes=num_classes)
    if config.model.get("num_classes") is None:
        images.classes = None
    batches(images, batch_size=trainer.batch_size, seed=config.seed).close()  # too few images are refused now
    agreement.check_training(network, diffusion.loss, images, trainer.preview)
    if trainer.preview.every:
        # An impossible spacing is refused now, not at the first preview.
        sampler.spaced(diffusion)
    values = plain_values(config)
    facts = {"shape": list(images.shape), "classes": None if images.classes is None else list(images.classes)}
    return trainer, Run(
        folder=folder,
        seed=config.seed,
        device=device,
        model=network,
        diffusion=diffusion,
        images=images,
        sampler=sampler,
        logger=logger,
        config={**values, **facts},
    )


def subject(config: DictConfig, model: Trained) -> Subject:
    """The model and the images to measure it on: those of training or of config.data, but their test split.

    A command line that names a split gets that one.
    """
    if config.batch_size < 1:
        raise ValueError(f"batch_size={config.batch_size} must be at least 1")
    agreement.check_draws(model, config.checkpoint)
    learned_from = model.config["data"]
    if model.step is None:  # A released file: its recipe stands in config.data, and may name another split.
        learned_from = with_split(learned_from, "train")
    data = learned_from if config.data is None else plain_values(config.data)
    named = any(word.startswith(("data.split=", "data.images.split=")) for word in HydraConfig.get().overrides.task)
    data = data if named else with_split(data, "test")
    images = instantiate(OmegaConf.create({"data": data}).data)
    agreement.check_measurable(model, images)
    if model.classes is None:
        images.classes = None
    return Subject(
        model=model,
        images=images,
        data=data,
        held_out=described(data) != described(learned_from),
        training_images=partial(instantiate, OmegaConf.create({"data": learned_from}).data),
        batch_size=config.batch_size,
        seed=config.seed,
    )


def with_split(data: dict[str, Any], split: str) -> dict[str, Any]:
    """The configuration of data, with another split where it is one of train and test."""
    if "images" in data:
        return {**data, "images": with_split(data["images"], split)}
    return {**data, "split": split} if data.get("split") in ("train", "test") else data


def described(data: dict[str, Any]) -> dict[str, Any]:
    """What decides which images these are: not how they are read, nor whether training mirrors them."""
    settings = flat({"data": data})
    return {key: settings[key] for key in settings if not run_folder.same_experiment(key) and not key.endswith(".flip")}


def check_resumable(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The settings that changed, as "key: old -> new"; ValueError if one of them makes it another experiment."""
    before, after = flat(old), flat(new)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    refused = [key for key in changed if not run_folder.may_change(key)]
    said = {key: f"{key}: {before.get(key)} -> {after.get(key)}" for key in changed}
    if refused:
        raise ValueError(
            "this run folder holds another experiment ("
            + "; ".join(said[key] for key in refused)
            + "); take the old settings back, or give the new run another name=..."
        )
    return list(said.values())


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(node, dict):
        return {prefix: node}
    return {
        key: value
        for name, child in node.items()
        for key, value in flat(child, f"{prefix}.{name}" if prefix else str(name)).items()
    }
