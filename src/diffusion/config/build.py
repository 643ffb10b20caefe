"""From a configuration to objects: the only caller of `instantiate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from diffusion.compute import distributed, precision
from diffusion.config import preflight
from diffusion.config.data_choice import (
    absolute_paths,
    check_reads_no_code,
    from_checkpoint,
    identity,
    same_set,
    same_split,
    split_keys,
    title_of,
    with_split,
)
from diffusion.config.trust import check_targets
from diffusion.data.conditions import Condition, available
from diffusion.data.images import Images
from diffusion.data.loader import batches
from diffusion.denoiser.diffusion import Diffusion
from diffusion.evaluation.subject import Subject
from diffusion.inference.trained import Trained
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


def device_named(name: str) -> torch.device:
    """The device of that name, whose products are exact: "cuda" is this process's GPU, and "auto" if there is one."""
    device = meant(name)
    precision.set_matmul_precision("float32", device)
    return device


def meant(name: str) -> torch.device:
    """The device that the name means; ValueError if it cannot be used."""
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return own_gpu()
    if name == "auto":
        return torch.device("cpu")
    if name.startswith("cuda:") and distributed.world_size() > 1:
        raise ValueError(f"device={name} would be the GPU of all {distributed.world_size()} processes; leave it out")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={name} cannot be used ({reason}); device=cpu always can") from None
    return device


def own_gpu() -> torch.device:
    """The GPU of this process; ValueError if its machine has none for it."""
    there, number = torch.cuda.device_count(), distributed.local_rank()
    if not there:
        raise ValueError("device=cuda cannot be used (there is no GPU that torch can see); device=cpu always can")
    if number >= there:
        raise ValueError(f"process {number} finds {there} GPUs here; start torchrun with --nproc_per_node={there}")
    return torch.device("cuda", number)


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


def data(node: DictConfig) -> Images:
    """The images of a configuration of data, whose files and folders are made absolute in it."""
    for key, path in absolute_paths(plain_values(node)).items():
        if not OmegaConf.is_missing(node, key):
            node[key] = path
    return instantiate(node, (Images,))


def images_of(settings: dict[str, Any], *, known: bool = True) -> Images:
    """The images of these settings; ValueError if reading them could run code, unless they are `known` to the user."""
    if not known:
        check_reads_no_code(settings)
    return instantiate(OmegaConf.create({"data": settings}).data, (Images,))


def conditions(node: DictConfig) -> dict[str, Condition]:
    """What a configuration tells a network beside the time; a condition that is null tells nothing."""
    found = instantiate(node, (Condition,))
    return {name: condition for name, condition in found.items() if condition is not None}


def training(config: DictConfig, folder: Path) -> tuple[Trainer, Run]:
    """The trainer and the run that a training configuration describes, kept in `folder`."""
    naming.check_name(config.name)
    if absent := [part for part in PARTS if OmegaConf.select(config, part) is None]:
        raise ValueError(f"{absent[0]} is null, and nothing can be trained without it; leave {absent[0]}=null out")
    device = device_named(config.device)
    diffusion = instantiate(config.diffusion)
    trainer = instantiate(config.train)
    precision.check_precision(trainer.precision, device, setting="train.precision")
    sampler, logger = instantiate(config.sampler), instantiate(config.logger)
    trainer.optimizer([torch.nn.Parameter(torch.zeros(1))])  # impossible settings are refused now
    images = data(config.data)
    preflight.check_labels(diffusion.loss, images)
    told = available(conditions(config.conditions), images.classes)
    torch.manual_seed(config.seed)
    num_classes = len(images.classes or ()) if any(condition.needs_classes for condition in told.values()) else None
    network = model(config.model, diffusion, shape=images.shape, num_classes=num_classes)
    classes = None if config.model.get("num_classes") is None else list(images.classes or ())
    told = available(told, classes)
    batches(images, told, batch_size=trainer.batch_size, seed=config.seed).close()  # too few images are refused now
    preflight.check_training(network, diffusion.loss, images, trainer.preview, told)
    if trainer.preview.every:
        # An impossible spacing is refused now, not at the first preview.
        sampler.levels(diffusion.process)
    values = plain_values(config)
    facts = {"shape": list(images.shape), "classes": classes}
    batch_size = trainer.microbatch or trainer.batch_size
    run = Run(
        folder=folder,
        seed=config.seed,
        device=device,
        model=network,
        diffusion=diffusion,
        images=images,
        conditions=told,
        sampler=sampler,
        logger=logger,
        config=redact_values({**values, **facts}),
        subject=subject_in_training(values["data"], images, batch_size=batch_size, seed=config.seed),
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
    unseen = cache(partial(images_of, others))

    def subject(model: Trained) -> Subject:
        images = unseen() if held_out else learned_from
        preflight.check_measurable(model, images)
        return Subject(
            model, images, others, title_of(others), held_out, lambda: learned_from, title_of(data), batch_size, seed
        )

    return subject


def check_evaluations(trainer: Trainer, run: Run) -> None:
    """Raise ValueError if what is trained cannot be measured as the trainer shall: at once, not after hours."""
    if not trainer.evaluations or run.subject is None:
        return
    if run.diffusion.loss.classifies:
        raise ValueError("a classifier draws nothing to measure; leave train/evaluations out")
    model = Trained(
        run.model, run.diffusion, run.images.shape, run.config["classes"], run.config, 0, "raw", torch.device("cpu"),
        conditions=run.conditions,
    )  # fmt: skip
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
        learned_from = from_checkpoint(model.config["data"])
    chosen = learned_from if config.data is None else plain_values(config.data)
    names_split = tuple(f"data.{key}=" for key in split_keys(chosen))
    if not any(word.startswith(names_split) for word in HydraConfig.get().overrides.task):
        chosen = with_split(chosen, "test")
    known = model.step is None  # by the user's own words
    if config.data is not None and same_set(chosen, learned_from):
        learned_from, known = same_split(chosen, learned_from), True
    images = images_of(chosen, known=known or config.data is not None)
    preflight.check_measurable(model, images)
    return Subject(
        model=model,
        images=images,
        data=chosen,
        title=title_of(chosen),
        held_out=identity(chosen) != identity(learned_from),
        training_images=cache(partial(images_of, learned_from, known=known)),
        training_title=title_of(learned_from),
        batch_size=config.batch_size,
        seed=config.seed,
    )
