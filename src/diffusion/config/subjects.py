"""What a model is measured on: the images of its training, or others, and which part of them."""

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from diffusion.config import preflight
from diffusion.config.data_choice import (
    class_of,
    from_checkpoint,
    identity,
    same_set,
    set_hash,
    settings_of,
    title_of,
    with_split,
)
from diffusion.config.instantiate import check_description, images_from, plain_values, restore
from diffusion.data.images import Images
from diffusion.evaluation.subject import Subject
from diffusion.inference.trained import Trained

Read = Callable[[dict[str, Any]], Images]


def subject_in_training(
    data: dict[str, Any], learned_from: Images, *, batch_size: int, seed: int
) -> Callable[[Trained], Subject]:
    """What gives a model beside the images to measure it on: the test split of the data, or those that it learned from.

    The test split is read when it is first asked for.
    """
    others = with_split(data, "test")
    held_out = others != data
    unseen = cache(lambda: images_from(others))

    def subject(model: Trained) -> Subject:
        images = unseen() if held_out else learned_from
        preflight.check_measurable(model, images)
        return Subject(
            model, images, others, title_of(others), held_out, lambda: learned_from, title_of(data), batch_size, seed
        )

    return subject


def subject(config: DictConfig, model: Trained) -> Subject:
    """The model and the images to measure it on, as a command line of evaluate.py asks for them.

    They are those of training, or of data=..., but the test split where no other is named.
    """
    if config.batch_size < 1:
        raise ValueError(f"batch_size={config.batch_size} must be at least 1")
    preflight.check_draws(model, config.checkpoint)
    chosen = None if config.data is None else plain_values(config.data)
    learned_from = model.config["data"] or chosen
    if learned_from is None:
        raise ValueError("the model does not say which images it was trained on; give them: data=...")
    open_training: Read = images_from
    if learned_from == chosen or model.step is None:  # What the user names may be another split.
        learned_from = with_split(learned_from, "train")
    else:  # A checkpoint may come from anyone: only the command line makes this program fetch files.
        check_description(learned_from, "data", config.trust)  # before anyone asks the class of the set
        learned_from = from_checkpoint(learned_from)
        open_training = partial(read_from_checkpoint, shape=model.shape, trust=config.trust)
    data, open_data = (learned_from, open_training) if chosen is None else (chosen, images_from)
    names_split = tuple(f"data.{key}=" for choice in class_of(data).splits.values() for key in choice)
    if not any(word.startswith(names_split) for word in HydraConfig.get().overrides.task):
        data = with_split(data, "test")
    others = chosen is not None and not same_set(data, learned_from)
    if chosen is not None and not others:
        part = class_of(learned_from).split_of(settings_of(learned_from))
        learned_from, open_training = with_split(data, part[0]) if part else data, images_from
    images = open_data(data)
    preflight.check_measurable(model, images)
    held_out = identity(data) != identity(learned_from)
    return Subject(
        model, images, data, title_of(data), held_out, cache(lambda: open_training(learned_from)),
        title_of(learned_from), config.batch_size, config.seed, set_hash(data) if others else "",
    )  # fmt: skip


def read_from_checkpoint(data: dict[str, Any], *, shape: tuple[int, int, int], trust: Iterable[str]) -> Images:
    """The images that only a checkpoint names, which are of its model's `shape`.

    ValueError if reading them could run code that their files hold, or if they say that they are of another shape.
    """
    kind, settings = class_of(data), settings_of(data)
    if not kind.reads_no_code(settings):
        raise ValueError(
            f"the checkpoint names {title_of(data)}, whose files could run code when they are read; "
            "if you trust them, name them yourself: data=..."
        )
    try:
        channels, *size = kind.shape_from(settings)
    except ValueError:  # They do not say, as they are stored in one size.
        channels, *size = shape
    if (channels or shape[0], *size) != shape:
        raise ValueError(
            f"the checkpoint draws images of {shape}, and names {title_of(data)} of {(channels, *size)}; "
            "name its images yourself: data=..."
        )
    return restore(data, "data", trust=trust)
