"""Trained models from their files: our own checkpoints, and released weights, which need a recipe beside them."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import unet
from diffusion.compute.device import resolve_device
from diffusion.config import build, migrate, preflight
from diffusion.config.data_choice import class_of, settings_of
from diffusion.config.instantiate import instantiate, plain_values, restore
from diffusion.config.signature import signature
from diffusion.config.trust import kind_of_hint
from diffusion.denoiser.guidance import Guidance, Guide
from diffusion.inference.trained import Trained
from diffusion.runs import checkpoints, naming, snapshots
from diffusion.runs.checkpoints import Foreign

RECIPE = ("model", "diffusion", "data", "train")  # what an experiment describes


def load_choice(config: DictConfig, *, reads_data: bool = False) -> Trained:
    """The model that the command line of a script asks for (`ModelChoice`). `reads_data`: data=... has a use anyway."""
    state = read_own_state(config.checkpoint, trust=config.trust)
    if state is None:
        return load_recipe(config.checkpoint, config, device=config.device)
    useless = [name for name in RECIPE if config[name] and not (name == "data" and reads_data)]
    useless += ["conditions"] if config.conditions else []
    if useless:
        raise ValueError(f"{config.checkpoint} describes its own network; leave out {', '.join(useless)} or experiment")
    return restore_model(state, ema=config.ema, device=config.device, trust=config.trust)


def load_model(path: str, *, device: str, trust: Iterable[str] = ()) -> Trained:
    """The model in a checkpoint or run folder, with the weights that it draws best with."""
    return restore_model(read_state(path, trust=trust), ema=None, device=device, trust=trust)


def add_guidance(model: Trained, path: str, node: DictConfig, *, trust: Iterable[str] = ()) -> Trained:
    """The model from `path`, steered as a configuration of guidance asks."""
    preflight.check_draws(model, path)
    return model._replace(guidance=guidance_of(node, model, trust=trust))


def guidance_of(node: DictConfig, model: Trained, *, trust: Iterable[str] = ()) -> Guidance:
    """The guidance of a configuration, for `model`. An argument hinted `Guide` is a run, named by its path."""
    plain = plain_values(node)
    settings = signature(plain["_target_"]).settings
    guides = {
        key: load_guide(plain[key], str(model.device), trust)
        for key, setting in settings.items()
        if kind_of_hint(setting.hint) is Guide and plain.get(key) is not None
    }
    guidance = instantiate(node, **guides)
    guidance.check(model)
    return guidance


def load_guide(path: str, device: str, trust: Iterable[str]) -> Trained:
    """The model in a checkpoint or run folder, called by the folder's name and its step."""
    model = load_model(path, device=device, trust=trust)
    return model._replace(name=f"{naming.run_folder_of(Path(path)).resolve().name}_step_{model.step}")


def weights_of(state: dict[str, Any], rate: str | None) -> dict[str, torch.Tensor]:
    """The weights in a state, or their average of that rate.

    An average is one of parameters: what else a network holds, such as running means, is that of its weights.
    """
    return state["model"] if rate is None else {**state["model"], **state["ema"][rate]}


def read_own_state(path: str, *, trust: Iterable[str] = ()) -> dict[str, Any] | None:
    """What `train.py` saved at `path`; None if the file is of another program."""
    try:
        return read_state(path, trust=trust)
    except Foreign:
        return None


def read_state(path: str, *, trust: Iterable[str] = ()) -> dict[str, Any]:
    """The state of a checkpoint or run folder, its settings in today's words."""
    state = checkpoints.load_checkpoint(Path(path))
    folder = str(naming.run_folder_of(Path(path)))
    return {**state, "config": migrate.complete(state["config"], trust), "folder": folder}


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
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the checkpoint of step {state['step']} is not what its settings say ({reason})") from error
    return model._replace(network=model.network.to(place).eval(), device=place)


def model_of_state(
    state: dict[str, Any], ema: float | str | None, trust: Iterable[str], parts: Mapping[str, Any]
) -> Trained:
    """The model that a state's own settings describe, with its weights; any error if they do not fit."""
    config = state["config"]
    given = {name: part for name, part in parts.items() if part is not None}
    if any(config[part] is None and part not in given for part in ("model", "diffusion")):
        raise ValueError(
            "this run was begun in Python, with parts that do not keep their constructor's arguments; "
            "open it there: diffusion.load(path, network=..., diffusion=...)"
        )
    network = copy.deepcopy(given.get("model")) or restore(config["model"], "model", trust=trust)
    diffusion = given.get("diffusion") or restore(config["diffusion"], "diffusion", trust=trust)
    check_facts(config)
    weights, name = chosen_weights(state, ema)
    network.load_state_dict(weights)
    return Trained(
        network=network,
        diffusion=diffusion,
        shape=tuple(config["shape"]),
        classes=config["classes"],
        config=config,
        step=state["step"],
        weights=name,
        device=torch.device("cpu"),
        conditions=given.get("conditions")
        or {name: restore(node, f"conditions.{name}", trust=trust) for name, node in config["conditions"].items()},
    )


def check_facts(config: dict[str, Any]) -> None:
    """Raise ValueError unless a checkpoint says of its images what can be said of images."""
    shape, classes = config["shape"], config["classes"]
    if not (isinstance(shape, list | tuple) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)):
        raise ValueError(f"the checkpoint says that its images are {shape!r:.60}, and not (C, H, W)")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise ValueError(f"the checkpoint says that its classes are {classes!r:.60}, and not a list of names")


def chosen_weights(state: dict[str, Any], ema: float | str | None) -> tuple[dict[str, torch.Tensor], str]:
    """The weights that `ema` asks for, and their name: those of a rate, or an average made of those of other widths."""
    rates = list(state["ema"])
    width = None if ema is None or str(ema) in rates else as_width(ema)
    if width is not None:
        return snapshots.reconstructed(Path(state["folder"]) / "snapshots", state, width), f"width_{width:g}"
    rate = average_rate(ema, rates)
    name = "raw" if rate is None else rate if rate.startswith(snapshots.WIDTH) else f"ema_{rate}"
    return weights_of(state, rate), name


def as_width(ema: float | str) -> float | None:
    """A relative width, where `ema` is a number that can be none but that; rates lie above one half."""
    try:
        return None if isinstance(ema, bool) or float(ema) >= 0.5 else float(ema)
    except ValueError:
        return None


def average_rate(ema: float | str | None, names: list[str]) -> str | None:
    """Which average to use; None for the weights themselves. The highest rate, or the widest, if none is asked for."""
    rates = [name for name in names if not name.startswith(snapshots.WIDTH)]
    if ema is None:
        return max(rates, key=float, default=max(names, default=None))
    if ema in ("off", False):
        return None
    if str(ema) not in names:
        kept = ", ".join(f"ema={rate}" for rate in names)
        raise ValueError(f"no average of rate {ema} was kept; give {kept + ' or ' if kept else ''}ema=off")
    return str(ema)


def load_recipe(path: str, recipe: DictConfig, *, device: str) -> Trained:
    """The model of a recipe with the weights in a released file. No data are read: classes are called 0, 1, ..."""
    place = resolve_device(device)
    weights = unet.read_weights(path)
    if recipe.ema is not None:
        raise ValueError(f"{path} holds one set of weights; leave ema={recipe.ema} out")
    experiments = GlobalHydra.instance().config_loader().get_group_options("experiment")
    if missing := [f"{name}=..." for name in ("model", "diffusion", "data") if recipe[name] is None]:
        raise ValueError(
            f"{path} holds weights alone; say of which network: experiment=... (one of {', '.join(experiments)}), "
            f"or {' '.join(missing)}"
        )
    diffusion = instantiate(recipe.diffusion)
    shape, num_classes = shape_of(recipe), recipe.model.get("num_classes")
    network = build.model(recipe.model, diffusion, shape=shape, num_classes=num_classes)
    unet.load_released(network, weights)
    classes = None if num_classes is None else [str(number) for number in range(num_classes)]
    recipe.conditions = recipe.conditions or {"y": migrate.LABEL}
    config = plain_values(OmegaConf.masked_copy(recipe, ["model", "diffusion", "data", "conditions"]))
    return Trained(
        network=network.to(place).eval(),
        diffusion=diffusion,
        shape=shape,
        classes=classes,
        config={**config, "shape": list(shape), "classes": classes},
        step=None,
        weights=Path(path).stem,
        device=place,
        conditions=build.build_conditions(recipe.conditions),
    )


def shape_of(recipe: DictConfig) -> tuple[int, int, int]:
    """(C, H, W) of a recipe's images, without looking at them; in colour unless the recipe says else."""
    data = plain_values(recipe.data)
    channels, height, width = class_of(data).shape_from(settings_of(data))
    return channels or recipe.model.get("in_channels") or 3, height, width
