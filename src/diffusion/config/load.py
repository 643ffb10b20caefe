"""Trained models from their files: our own checkpoints, and released weights, which need a recipe beside them."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path
from typing import Any

import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import unet
from diffusion.compute import distributed
from diffusion.compute.device import resolve_device
from diffusion.config import build, preflight
from diffusion.denoiser.classifier_guidance import ClassifierGuidance
from diffusion.denoiser.gaussian import GaussianDiffusion
from diffusion.denoiser.predictions import Prediction
from diffusion.denoiser.variances import Variance
from diffusion.inference.trained import Trained
from diffusion.losses.losses import Loss
from diffusion.process.schedules import Schedule
from diffusion.runs import checkpoints, naming, resuming
from diffusion.runs.checkpoint_file import Foreign
from diffusion.training.trainer import Run

# Facts of the data, which the shapes of the weights tell, and what changes nothing in what a network computes.
MAY_DIFFER = ("image_size", "in_channels", "out_channels", "num_classes", "dropout", "checkpoint")
log = logging.getLogger(__name__)

RECIPE = ("model", "diffusion", "data", "train")  # what an experiment describes


def chosen(config: DictConfig, *, reads_data: bool = False) -> Trained:
    """The model that the command line of a script asks for (`ModelChoice`). `reads_data`: data=... has a use anyway."""
    state = own_state(config.checkpoint)
    if state is None:
        return released(config.checkpoint, config, device=config.device)
    useless = [name for name in RECIPE if config[name] is not None and not (name == "data" and reads_data)]
    if useless:
        raise ValueError(f"{config.checkpoint} describes its own network; leave out {', '.join(useless)} or experiment")
    return restored(state, ema=config.ema, device=config.device)


def trained(path: str, *, device: str) -> Trained:
    """The model in a checkpoint or run folder, with the weights that it draws best with."""
    return restored(checkpoints.load_checkpoint(Path(path)), ema=None, device=device)


def guided(model: Trained, path: str, guidance: DictConfig) -> Trained:
    """The model from `path`, steered by the classifier that `guidance` names, if any."""
    preflight.check_draws(model, path)
    if guidance.classifier is None:
        if guidance.scale != 1:
            raise ValueError(f"guidance.scale={guidance.scale} scales nothing; add guidance.classifier=runs/NAME")
        return model
    classifier = trained(guidance.classifier, device=str(model.device))
    preflight.check_guides(classifier, model, guidance.classifier)
    name = f"{naming.run_folder_of(Path(guidance.classifier)).resolve().name}_step_{classifier.step}"
    guide = ClassifierGuidance(classifier.network, classes=classifier.classes or [], scale=guidance.scale, name=name)
    return model._replace(guide=guide)


def begun(run: Run, *, init_from: str | None) -> dict[str, Any] | None:
    """Where a run goes on: the state of its newest checkpoint; None for one that begins, perhaps with old weights."""
    state = checkpoints.load_newest(run.folder)
    distributed.require_equal("the checkpoint's step", None if state is None else state["step"])
    if state is not None:
        changes = resuming.check_resumable(state["config"], run.config)
        log.info("Resuming at step %d%s", state["step"], "".join(f"; {change}" for change in changes))
    elif init_from is not None:
        start_from(run.model, init_from, model=run.config["model"])
        log.info("Starting with the weights of %s", init_from)
    return state


def start_from(network: torch.nn.Module, path: str, *, model: dict[str, Any]) -> None:
    """Give the network of configuration `model` the weights at `path`, a released file or our own.

    ValueError unless they fit exactly, and were trained in a network that computes the same.
    """
    state = own_state(path)
    if state is not None:
        check_same_network(state["config"]["model"], model, path)
    own = None if state is None else unet.export_released(restored(state, ema=None, device="cpu").network)
    unet.load_released(network, own or path)


def check_same_network(old: dict[str, Any], new: dict[str, Any], path: str) -> None:
    """Raise ValueError if a setting differs that changes what weights of the same shapes mean."""
    changed = [key for key in sorted(old.keys() & new.keys()) if key not in MAY_DIFFER and old[key] != new[key]]
    if changed:
        typed = [shlex.quote(f"model.{key}={json.dumps(old[key], separators=(',', ':'))}") for key in changed]
        raise ValueError(f"{path} holds the weights of another network; set {' '.join(typed)}")


def own_state(path: str) -> dict[str, Any] | None:
    """What `train.py` saved at `path`; None if the file is of another program."""
    try:
        return checkpoints.load_checkpoint(Path(path))
    except Foreign:
        return None


def restored(state: dict[str, Any], *, ema: float | str | None, device: str) -> Trained:
    """The model in the state of a checkpoint, with the weights that `ema` names: a rate, "off", or None.

    None takes the highest rate, or the weights themselves if no average was kept.
    """
    place = resolve_device(device)
    try:
        model = described(state, ema)
    except (RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the checkpoint of step {state['step']} is not what its settings say ({reason})") from error
    return model._replace(network=model.network.to(place).eval(), device=place)


def described(state: dict[str, Any], ema: float | str | None) -> Trained:
    """The model that a state's own settings describe, with its weights; any error if they do not fit."""
    config = OmegaConf.create(state["config"])
    diffusion = build.instantiate(config.diffusion, (GaussianDiffusion, Schedule, Prediction, Variance, Loss))
    network = build.instantiate(config.model, (torch.nn.Module,))
    rate = chosen_rate(ema, list(state["ema"]))
    network.load_state_dict(state["model"] if rate is None else state["ema"][rate])
    return Trained(
        network=network,
        diffusion=diffusion,
        shape=tuple(config.shape),
        classes=state["config"]["classes"],
        config=state["config"],
        step=state["step"],
        weights="raw" if rate is None else f"ema_{rate}",
        device=torch.device("cpu"),
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


def released(path: str, recipe: DictConfig, *, device: str) -> Trained:
    """The model of a recipe with the weights in a released file. No data are read: classes are called 0, 1, ..."""
    place = resolve_device(device)
    weights = unet.read_weights(path)
    if recipe.ema is not None:
        raise ValueError(f"{path} holds one set of weights; leave ema={recipe.ema} out")
    if missing := [f"{name}=..." for name in ("model", "diffusion", "data") if recipe[name] is None]:
        raise ValueError(
            f"{path} holds weights alone; say of which network: experiment=... (one of {', '.join(experiments())}), "
            f"or {' '.join(missing)}"
        )
    diffusion = build.instantiate(recipe.diffusion)
    shape, num_classes = shape_of(recipe), recipe.model.get("num_classes")
    network = build.model(recipe.model, diffusion, shape=shape, num_classes=num_classes)
    unet.load_released(network, weights)
    classes = None if num_classes is None else [str(number) for number in range(num_classes)]
    described = OmegaConf.masked_copy(recipe, ["model", "diffusion", "data"])
    config = build.plain_values(described)
    return Trained(
        network=network.to(place).eval(),
        diffusion=diffusion,
        shape=shape,
        classes=classes,
        config={**config, "shape": list(shape), "classes": classes},
        step=None,
        weights=Path(path).stem,
        device=place,
    )


def shape_of(recipe: DictConfig) -> tuple[int, int, int]:
    """(C, H, W) of a recipe's images, without looking at them; in colour unless the recipe says else."""
    images = recipe.data.get("images", recipe.data)
    if images.get("image_size") is None:
        raise ValueError("the size of the images is not known; give data.image_size=...")
    channels = images.get("channels") or recipe.model.get("in_channels") or 3
    return channels, images.image_size, images.get("width") or images.image_size


def experiments() -> list[str]:
    """The names of all experiments."""
    return GlobalHydra.instance().config_loader().get_group_options("experiment")
