"""Trained models from their files: our own checkpoints, folders of diffusers, and released weights with a recipe."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import unet
from diffusion.compute.device import resolve_device
from diffusion.config import build, migrate, preflight
from diffusion.config.data_choice import class_of, settings_of
from diffusion.config.instantiate import instantiate, plain_values
from diffusion.config.pretrained import load_folder
from diffusion.config.restored import restore_model
from diffusion.config.signature import signature
from diffusion.config.trust import kind_of_hint
from diffusion.denoiser.guidance import Guidance, Guide
from diffusion.inference.trained import Trained
from diffusion.interchange.folder import is_pipeline_folder
from diffusion.runs import checkpoints, naming
from diffusion.runs.checkpoints import Foreign
from diffusion.runs.tensor_files import read_tensor_file

RECIPE = ("model", "diffusion", "data", "train")  # what an experiment describes


def load_choice(config: DictConfig, *, reads_data: bool = False) -> Trained:
    """The model that the command line of a script asks for (`ModelChoice`). `reads_data`: data=... has a use anyway."""
    in_folder = is_pipeline_folder(Path(config.checkpoint))
    state = None if in_folder else read_own_state(config.checkpoint, trust=config.trust)
    if state is None and not in_folder:
        return load_recipe(config.checkpoint, config, device=config.device)
    useless = [name for name in RECIPE if config[name] and not (name == "data" and reads_data)]
    useless += ["conditions"] if config.conditions else []
    if useless:
        raise ValueError(f"{config.checkpoint} describes its own network; leave out {', '.join(useless)} or experiment")
    if state is None:
        data = None if config.data is None else plain_values(config.data)
        return load_folder(config.checkpoint, ema=config.ema, device=config.device, data=data)
    return restore_model(state, ema=config.ema, device=config.device, trust=config.trust)


def load_model(
    path: str, *, device: str, ema: float | str | None = None, trust: Iterable[str] = (),
    parts: Mapping[str, Any] = MappingProxyType({}),
) -> Trained:  # fmt: skip
    """The model in a checkpoint, a run folder or a folder of diffusers; the rest is as for `restore_model`."""
    if not is_pipeline_folder(Path(path)):
        return restore_model(read_state(path, trust=trust), ema=ema, device=device, trust=trust, parts=parts)
    if given := [name for name, part in parts.items() if part is not None]:
        raise ValueError(f"{path} describes its own network; leave {', '.join(given)} out")
    return load_folder(path, ema=ema, device=device)


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
    """The model at a path, called by the folder's name and its step."""
    model = load_model(path, device=device, trust=trust)
    folder = naming.run_folder_of(Path(path)).resolve().name
    return model._replace(name=folder if model.step is None else f"{folder}_step_{model.step}")


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


def load_recipe(path: str, recipe: DictConfig, *, device: str) -> Trained:
    """The model of a recipe with the weights in a released file. No data are read: classes are called 0, 1, ..."""
    place = resolve_device(device)
    weights = unet.as_state_dict(read_tensor_file(Path(path)), path)
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
