"""From a configuration to objects: the only caller of `instantiate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import torch
from hydra._internal.utils import _locate
from omegaconf import DictConfig, OmegaConf

from diffusion import run_folder
from diffusion.data import Images
from diffusion.gaussian import GaussianDiffusion
from diffusion.training import Run, Trainer, checkpoint
from diffusion.trained import Trained

PACKAGES = ("diffusion", "unet", "torch.optim")


def instantiate(node: DictConfig, **given: Any) -> Any:
    """The object that a node describes, if every `_target_` in it is a class or function of the allowed packages."""
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
    mine = [node["_target_"]] if "_target_" in node else []
    return mine + [target for child in node.values() for target in targets(child)]


def check_target(target: str) -> None:
    """A name that leads out of the allowed packages must not even be looked up: importing runs code."""
    refused = ValueError(f"_target_={target} is refused: only {', '.join(PACKAGES)} may be built from a configuration")
    if not inside(target):
        raise refused
    found = _locate(target)
    if not callable(found) or not inside(getattr(found, "__module__", None) or ""):
        raise refused


def inside(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in PACKAGES)


def device_named(name: str) -> torch.device:
    """"auto" is a GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={name} cannot be used ({str(error).splitlines()[0]}); device=cpu always can") from None
    return device


def model(node: DictConfig, images: Images, diffusion: GaussianDiffusion) -> torch.nn.Module:
    """The network, told the facts of the data and the variance that its configuration leaves open.

    The facts are written into `node`, so that it describes the network without the data.
    """
    channels, height, width = images.shape
    classes = None if images.classes is None else len(images.classes)
    facts = {
        "image_size": min(height, width),
        "in_channels": channels,
        "out_channels": diffusion.outputs(channels),
        "num_classes": classes,
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
    torch.manual_seed(config.seed)
    network = model(config.model, images, diffusion)
    if config.model.get("num_classes") is None:
        images.classes = None
    values = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
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


def trained(path: str, *, ema: float | str | None, device: str) -> Trained:
    """The model in a checkpoint or run folder, with the weights that `ema` names: a rate, "off", or None.

    None takes the highest rate, or the weights themselves if no average was kept.
    """
    place = device_named(device)
    state = checkpoint.find(Path(path))
    config = OmegaConf.create(state["config"])
    diffusion, network = instantiate(config.diffusion), instantiate(config.model)
    rate = chosen_rate(ema, list(state["ema"]))
    network.load_state_dict(state["model"] if rate is None else state["ema"][rate])
    return Trained(
        network=network.to(place).eval(),
        diffusion=diffusion,
        shape=tuple(config.shape),
        classes=state["config"]["classes"],
        config=state["config"],
        step=state["step"],
        weights="raw" if rate is None else f"ema_{rate}",
        device=place,
    )


def chosen_rate(ema: float | str | None, rates: list[str]) -> str | None:
    """Which average to use; None for the weights themselves."""
    if ema is None:
        return max(rates, key=float, default=None)
    if ema in ("off", False):
        return None
    if str(ema) not in rates:
        kept = ", ".join(f"ema={rate}" for rate in rates)
        raise ValueError(f"no average of rate {ema} was kept; give {kept + ' or ' if kept else ''}ema=off")
    return str(ema)
