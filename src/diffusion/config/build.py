"""From a configuration to objects: the only caller of `instantiate`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from diffusion.compute.device import resolve_device
from diffusion.compute.precision import check_precision
from diffusion.config import preflight
from diffusion.config.data_choice import described, with_split, without_download
from diffusion.config.trust import check_targets
from diffusion.data.images import Images
from diffusion.data.loader import batches
from diffusion.denoiser.gaussian import GaussianDiffusion
from diffusion.evaluation.subject import Subject
from diffusion.inference.trained import Trained
from diffusion.losses.losses import Classification
from diffusion.runs import naming
from diffusion.runs.redaction import redact_values
from diffusion.training.trainer import Run, Trainer

# What training cannot do without, each an object of its own.
PARTS = (
    "data", "model", "diffusion", "diffusion.schedule", "diffusion.prediction", "diffusion.variance", "diffusion.loss",
    "train", "train.optimizer", "train.schedule_sampler", "train.preview", "sampler", "logger",
)  # fmt: skip


def instantiate(node: DictConfig, kinds: tuple[type, ...] = (object,), **given: Any) -> Any:
    """The object that a node describes; ValueError if a `_target_` in it is not allowed, or a value is missing.

    What it names must be of one of the `kinds`. What a constructor refuses comes out as it was raised.
    """
    check_targets(OmegaConf.to_container(node, resolve=True), kinds)
    missing = sorted(key for key in OmegaConf.missing_keys(node) if key not in given)
    if missing:
        raise ValueError(f"{missing[0]} has no value; give it one: {missing[0]}=...")
    try:
        return hydra.utils.instantiate(node, _convert_="all", **given)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError):
            raise error.__cause__ from None
        raise


def plain_values(node: DictConfig) -> dict[str, Any]:
    """The configuration as a checkpoint may hold it: dicts, lists, strings and numbers."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, enum_to_str=True))


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
            raise ValueError(
                f"model.{key}={node[key]}, but {reason(key, fact, diffusion)}; "
                f"set model.{key}={'null' if fact is None else fact}"
            )
    return instantiate(node)


def reason(key: str, fact: Any, diffusion: GaussianDiffusion) -> str:
    if key == "out_channels":
        return f"{type(diffusion.variance).__name__} needs {fact} output channels"
    if key == "num_classes":
        return "the data have no labels" if fact is None else f"the data have {fact} classes"
    return f"the data have {key.replace('in_', '')} {fact}"


def training(config: DictConfig, folder: Path) -> tuple[Trainer, Run]:
    """The trainer and the run that a training configuration describes, kept in `folder`."""
    naming.check_name(config.name)
    if absent := [part for part in PARTS if OmegaConf.select(config, part) is None]:
        raise ValueError(f"{absent[0]} is null, and nothing can be trained without it; leave {absent[0]}=null out")
    device = resolve_device(config.device)
    diffusion = instantiate(config.diffusion)
    trainer = instantiate(config.train)
    check_precision(trainer.precision, device, setting="train.precision")
    sampler, logger = instantiate(config.sampler), instantiate(config.logger)
    preflight.check_times(diffusion, trainer.schedule_sampler)
    trainer.optimizer([torch.nn.Parameter(torch.zeros(1))])  # impossible settings are refused now
    naming.resolve_roots(config.data)
    images = instantiate(config.data)
    preflight.check_labels(diffusion.loss, images)
    labelled = copy.copy(images)
    torch.manual_seed(config.seed)
    num_classes = None if images.classes is None else len(images.classes)
    network = model(config.model, diffusion, shape=images.shape, num_classes=num_classes)
    if config.model.get("num_classes") is None:
        images.classes = None
    batches(images, batch_size=trainer.batch_size, seed=config.seed).close()  # too few images are refused now
    preflight.check_training(network, diffusion.loss, images, trainer.preview)
    if trainer.preview.every:
        # An impossible spacing is refused now, not at the first preview.
        sampler.spaced(diffusion)
    values = plain_values(config)
    facts = {"shape": list(images.shape), "classes": None if images.classes is None else list(images.classes)}
    batch_size = trainer.microbatch or trainer.batch_size
    run = Run(
        folder=folder,
        seed=config.seed,
        device=device,
        model=network,
        diffusion=diffusion,
        images=images,
        sampler=sampler,
        logger=logger,
        config=redact_values({**values, **facts}),
        subject=subject_in_training(values["data"], labelled, batch_size=batch_size, seed=config.seed),
        objective=config.objective,
    )
    check_evaluations(trainer, run)
    return trainer, run


def subject_in_training(
    data: dict[str, Any], learned_from: Images, *, batch_size: int, seed: int
) -> Callable[[Trained], Subject]:
    """What gives a model beside the images to measure it on: the test split of the data, or those that it learned from.

    The test split is read when it is first asked for.
    """
    others = with_split(data, "test")
    held_out = others != data
    unseen = cache(partial(instantiate, OmegaConf.create({"data": others}).data, (Images,)))

    def subject(model: Trained) -> Subject:
        images = copy.copy(unseen() if held_out else learned_from)
        preflight.check_measurable(model, images)
        if model.classes is None:
            images.classes = None
        return Subject(model, images, others, held_out, lambda: learned_from, data, batch_size, seed)

    return subject


def check_evaluations(trainer: Trainer, run: Run) -> None:
    """Raise ValueError if what is trained cannot be measured as the trainer shall: at once, not after hours."""
    if not trainer.evaluations or run.subject is None:
        return
    if isinstance(run.diffusion.loss, Classification):
        raise ValueError("a classifier draws nothing to measure; leave train/evaluations out")
    model = Trained(
        run.model, run.diffusion, run.images.shape, run.config["classes"], run.config, 0, "raw", torch.device("cpu")
    )
    for name, evaluation in trainer.evaluations.items():
        try:
            evaluation.check(run.subject(model))
        except ValueError as error:
            place = f"train.evaluations.{name}"
            said = str(error).replace("evaluation.", f"{place}.")
            raise ValueError(said.replace("evaluation/features", f"evaluation/features@{place}.features")) from None


def subject(config: DictConfig, model: Trained) -> Subject:
    """The model and the images to measure it on: those of training or of config.data, but their test split.

    A command line that names a split gets that one.
    """
    if config.batch_size < 1:
        raise ValueError(f"batch_size={config.batch_size} must be at least 1")
    preflight.check_draws(model, config.checkpoint)
    if model.step is None:  # A released file: its recipe stands in config.data, and may name another split.
        learned_from = with_split(model.config["data"], "train")
    else:  # A checkpoint may come from anyone: only the command line makes this program fetch files.
        learned_from = without_download(model.config["data"])
    data = learned_from if config.data is None else plain_values(config.data)
    named = any(word.startswith(("data.split=", "data.images.split=")) for word in HydraConfig.get().overrides.task)
    data = data if named else with_split(data, "test")
    images = instantiate(OmegaConf.create({"data": data}).data, (Images,))
    preflight.check_measurable(model, images)
    if model.classes is None:
        images.classes = None
    return Subject(
        model=model,
        images=images,
        data=data,
        held_out=described(data) != described(learned_from),
        training_images=cache(partial(instantiate, OmegaConf.create({"data": learned_from}).data, (Images,))),
        training_data=learned_from,
        batch_size=config.batch_size,
        seed=config.seed,
    )
