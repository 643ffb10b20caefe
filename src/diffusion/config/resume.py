"""Where a run goes on, or with which weights it begins."""

import json
import logging
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

import unet
from diffusion.compute import distributed
from diffusion.compute.precision import AUTO
from diffusion.config import migrate
from diffusion.config.averages import average_rate, weights_of
from diffusion.config.data_choice import replaceable
from diffusion.config.load import read_own_state
from diffusion.config.pretrained import load_folder
from diffusion.config.restored import load_exactly
from diffusion.config.signature import find_class
from diffusion.config.trust import targets
from diffusion.interchange.folder import is_pipeline_folder
from diffusion.runs import checkpoints, resuming
from diffusion.runs.tensor_files import read_tensor_file
from diffusion.training.settled_precision import settle_precision
from diffusion.training.trainer import Run, Trainer

# Facts of the data, which the shapes of the weights tell, and what changes nothing in what a network computes.
MAY_DIFFER = ("image_size", "in_channels", "out_channels", "num_classes", "dropout", "checkpoint")
log = logging.getLogger(__name__)


def resume(trainer: Trainer, run: Run, *, init_from: str | None, trust: Iterable[str] = ()) -> dict[str, Any] | None:
    """Where a run goes on: the state of its newest checkpoint; None for one that begins, perhaps with old weights.

    From here on the trainer and the settings of the run name the number format that train.precision=auto stands for.
    """
    state = checkpoints.load_newest(run.folder)
    distributed.require_equal("the checkpoint's step", None if state is None else state["step"])
    settle_precision(trainer, run, before=None if state is None else precision_of(state["config"]))
    if state is not None:
        check_steps_left(run, state["step"])
        complete = completion(run.config)
        changes = resuming.check_resumable(
            complete(state["config"]), complete(run.config), replaceable(run.config["data"])
        )
        log.info("Resuming at step %d%s", state["step"], "".join(f"; {change}" for change in changes))
    elif init_from is not None:
        own = [target for _, target in targets(run.config["model"])]
        start_from(run.model, init_from, model=run.config["model"], trust=[*trust, *own])
        log.info("Starting with the weights of %s", init_from)
    return state


def check_steps_left(run: Run, step: int) -> None:
    """Raise ValueError if a run has more steps than it is to have, which nobody can take back."""
    if (most := run.config["train"]["max_steps"]) is not None and step > most:
        raise ValueError(
            f"{run.folder} has {step} steps, and train.max_steps={most} asks for fewer; set train.max_steps={step} to "
            "end it there, a larger number to train on, or name=NAME to train anew"
        )


def precision_of(config: dict[str, Any]) -> str:
    """The number format that a run with these settings computes in."""
    return str((config.get("train") or {}).get("precision", "float32"))


def comparable_settings(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a built run and of a command that may mean the same run, in the same words.

    Sizes of feature maps that the command counts from the coarsest are those of the run's images, and
    train.precision=auto is what the run took.
    """
    complete = completion(new)
    old, new = complete(old), complete(new)
    if precision_of(new) == AUTO:
        new = {**new, "train": {**new["train"], "precision": precision_of(old)}}
    with suppress(ValueError, TypeError, KeyError):  # of another network than the command's
        built, model = old["model"], new["model"]
        kind = find_class(model["_target_"])
        for key in model.keys() & {*getattr(kind, "sizes_of_maps", ())}:
            meant = kind.sizes_meant(model[key], built["image_size"], len(built["channel_mult"]))
            new = {**new, "model": {**new["model"], key: list(meant)}}
    return old, new


def completion(config: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What puts settings of before into today's words. Classes that the user's own `config` names may be looked up."""
    return partial(migrate.complete, trust=[target for _, target in targets(config)])


def start_from(network: torch.nn.Module, path: str, *, model: dict[str, Any], trust: Iterable[str] = ()) -> None:
    """Give the network of configuration `model` the weights at `path`: our own, a released file, a folder of diffusers.

    ValueError unless they fit exactly, and were trained in a network that computes the same.
    """
    if is_pipeline_folder(Path(path)):
        source = load_folder(path, device="cpu")
        old = {} if same_unet2d(network, source.network) else source.config["model"]
        weights = source.network.state_dict()
    elif (state := read_own_state(path, trust=trust)) is not None:
        old, weights = state["config"]["model"], weights_of(state, average_rate(None, list(state["ema"])))
    else:
        unet.load_released(network, unet.as_state_dict(read_tensor_file(Path(path)), path))
        return
    check_same_network(old or {}, model, path)
    load_exactly(network, weights, path)


def same_unet2d(network: torch.nn.Module, source: torch.nn.Module) -> bool:
    """Whether two networks are one to diffusers, whose settings count heads by their channels alone."""
    if getattr(network, "attention_order", None) != getattr(source, "attention_order", None):
        return False
    try:
        ours, theirs = (unet.unet2d_config(each) for each in (network, source))  # type: ignore[arg-type]
    except ValueError:
        return False
    return all(ours[key] == theirs[key] for key in ours.keys() - {"sample_size", "dropout"})


def check_same_network(old: dict[str, Any], new: dict[str, Any], path: str) -> None:
    """Raise ValueError if a setting differs that changes what weights of the same shapes mean."""
    changed = [key for key in sorted(old.keys() & new.keys()) if key not in MAY_DIFFER and old[key] != new[key]]
    if changed:
        typed = [shlex.quote(f"model.{key}={json.dumps(old[key], separators=(',', ':'))}") for key in changed]
        raise ValueError(f"{path} holds the weights of another network; set {' '.join(typed)}")
