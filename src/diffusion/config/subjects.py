"""What a model is measured on: the images of its training, or others, and which part of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from diffusion.config import data_choice, preflight
from diffusion.config.data_choice import check_reads_no_code, title_of, with_split
from diffusion.config.instantiate import images_from, plain_values
from diffusion.config.instantiate import restore as restore_object
from diffusion.config.trust import check_checkpoint_targets
from diffusion.data.images import Images
from diffusion.evaluation.subject import Subject
from diffusion.inference.trained import Trained

Read = Callable[[dict[str, Any]], Images]


def subject_in_training(
    data: dict[str, Any], learned_from: Images, *, read: Read, batch_size: int, seed: int
) -> Callable[[Trained], Subject]:
    """What gives a model beside the images to measure it on: the test split of the data, or those that it learned from.

    The test split is read when it is first asked for.
    """
    others = with_split(data, "test")
    held_out = others != data
    unseen = cache(lambda: read(others))

    def subject(model: Trained) -> Subject:
        images = unseen() if held_out else learned_from
        preflight.check_measurable(model, images)
        return Subject(
            model, images, others, title_of(others), held_out, lambda: learned_from, title_of(data), batch_size, seed
        )

    return subject


def subject(config: DictConfig, model: Trained) -> Subject:
    """The model and the images to measure it on, as a command line of evaluate.py asks for them."""
    if config.batch_size < 1:
        raise ValueError(f"batch_size={config.batch_size} must be at least 1")
    preflight.check_draws(model, config.checkpoint)

    def restore(data: dict[str, Any]) -> Images:
        check_reads_no_code(data)
        return restore_object(data, "data", trust=config.trust)

    if model.step is not None and model.config["data"] is not None:
        check_checkpoint_targets(model.config["data"], "data", config.trust)  # before anyone asks the class of the set
    return subject_of(
        model, None if config.data is None else plain_values(config.data), HydraConfig.get().overrides.task,
        read=images_from, restore=restore, batch_size=config.batch_size, seed=config.seed,
    )  # fmt: skip


def subject_of(
    model: Trained, chosen: dict[str, Any] | None, overrides: Iterable[str], *, read: Read, restore: Read,
    batch_size: int, seed: int,
) -> Subject:  # fmt: skip
    """The model and the images to measure it on: those of training or the `chosen` ones, but their test split.

    `overrides` that name a split get that one. `read` opens images that the user named, `restore` those that only the
    checkpoint names.
    """
    if model.config["data"] is None:
        raise ValueError("this run does not say which images it was trained on; give them: data=...")
    if model.step is None:  # A released file: its recipe is the user's own, and may name another split.
        learned_from, open_training = with_split(model.config["data"], "train"), read
    else:  # A checkpoint may come from anyone: only the command line makes this program fetch files.
        learned_from, open_training = data_choice.from_checkpoint(model.config["data"]), restore
    data, open_data = (learned_from, open_training) if chosen is None else (chosen, read)
    names_split = tuple(f"data.{key}=" for key in data_choice.split_keys(data))
    if not any(word.startswith(names_split) for word in overrides):
        data = with_split(data, "test")
    if chosen is not None and data_choice.same_set(data, learned_from):
        learned_from, open_training = data_choice.same_split(data, learned_from), read
    images = open_data(data)
    preflight.check_measurable(model, images)
    held_out = data_choice.identity(data) != data_choice.identity(learned_from)
    return Subject(
        model, images, data, title_of(data), held_out, cache(lambda: open_training(learned_from)),
        title_of(learned_from), batch_size, seed,
    )  # fmt: skip
