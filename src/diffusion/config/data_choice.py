"""Which images a configuration of data means, read off what the class of the set says of its own arguments."""

import inspect
import json
import os
from typing import Any, cast

from diffusion.config.signature import find_class
from diffusion.config.trust import check_user_targets
from diffusion.data.images import Images
from diffusion.runs.naming import short_hash

USUAL = tuple(f"data.{key}" for key in Images.incidental)
"""The settings that make no other experiment, whatever the set."""


def class_of(data: dict[str, Any]) -> type[Images]:
    """The class of the set; ValueError unless it can be imported and is one of images."""
    check_user_targets({"_target_": str(data["_target_"])}, "data")
    return cast(type[Images], find_class(str(data["_target_"])))


def settings_of(data: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the set's constructor, with the defaults of those that the configuration leaves out."""
    parameters = inspect.signature(class_of(data)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    if lacking := [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in (*defaults, *data)]:
        raise ValueError(f"data.{lacking[0]} has no value; give it one: data.{lacking[0]}=...")
    return {**defaults, **{key: value for key, value in data.items() if key != "_target_"}}


def with_split(data: dict[str, Any], split: str) -> dict[str, Any]:
    """The same set, but its part of that name where the configuration chooses one of its parts."""
    kind = class_of(data)
    return {**data, **kind.splits.get(split, {})} if kind.split_of(settings_of(data)) else data


def from_checkpoint(data: dict[str, Any]) -> dict[str, Any]:
    """The data that a checkpoint names, where nothing is fetched and nothing is written but to the usual cache."""
    return {**data, **{key: value for key, value in class_of(data).from_checkpoint.items() if key in data}}


def absolute_paths(data: dict[str, Any]) -> dict[str, str]:
    """The arguments that are files or folders, made absolute, so that they are found from anywhere."""
    given = {key: data[key] for key in class_of(data).paths_of(data)}
    if empty := [key for key, path in given.items() if path == ""]:
        raise ValueError(f"data.{empty[0]} is empty; set it to a file or folder, or leave data.{empty[0]}= out")
    return {key: os.path.abspath(os.path.expanduser(path)) for key, path in given.items()}


def identity(data: dict[str, Any]) -> dict[str, Any]:
    """What decides which images these are: not how they are read, nor how training shows them."""
    kind = class_of(data)
    settings = {**settings_of(data), **absolute_paths(data), "_target_": data["_target_"]}
    return {key: value for key, value in settings.items() if key not in (*kind.incidental, *kind.training_only)}


def same_set(data: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two configurations mean the same images, whichever part of them each chooses."""
    return identity(with_split(data, "train")) == identity(with_split(other, "train"))


def set_hash(data: dict[str, Any]) -> str:
    """Six letters that tell these images from others of the same title."""
    return short_hash(json.dumps(identity(data), sort_keys=True, default=str))


def title_of(data: dict[str, Any]) -> str:
    """What people call the images."""
    return class_of(data).title(settings_of(data))


def incidental(data: dict[str, Any]) -> tuple[str, ...]:
    """The settings, such as data.workers, that make no other experiment."""
    return tuple(f"data.{key}" for key in class_of(data).incidental)


def replaceable(data: dict[str, Any] | None) -> tuple[str, ...]:
    """The settings that may differ between a run and its resumption: the incidental ones, and where the files lie."""
    return USUAL if data is None else incidental(data) + tuple(f"data.{key}" for key in class_of(data).paths_of(data))
