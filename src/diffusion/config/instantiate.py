"""From plain values to objects: the only caller of Hydra's `instantiate`."""

from collections.abc import Iterable
from typing import Any, cast

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffusion.config.schema_source import schema
from diffusion.config.trust import check_checkpoint_targets, check_user_targets, root_kind, walk
from diffusion.config.values import check_values
from diffusion.data.images import Images
from diffusion.runs.printable import reason


def instantiate(node: DictConfig, **given: Any) -> Any:
    """The object that a node of the user's own configuration describes; `given` replaces arguments by objects.

    ValueError if a class in it cannot be imported or does not belong there, or a value is missing or cannot be. What a
    constructor refuses comes out as it was raised.
    """
    plain = plain_values(node)
    check_user_targets(plain, key_of(node))
    if missing := sorted(OmegaConf.missing_keys(node)):
        raise ValueError(f"{missing[0]} has no value; give it one: {missing[0]}=...")
    check_values(plain, key_of(node))
    return construct(plain, **given)


def restore(node: dict[str, Any], part: str, *, trust: Iterable[str] = ()) -> Any:
    """The object that a checkpoint's settings describe; ValueError if they name what a checkpoint may not."""
    check_description(node, part, trust)
    try:
        built = construct(node)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise ValueError(f"{part} in the checkpoint cannot be built ({reason(error)})") from error
    if not isinstance(built, root_kind(part) or object):
        raise ValueError(f"{part} in the checkpoint is refused: it builds a {type(built).__name__}")
    return built


def check_description(node: Any, part: str, trust: Iterable[str] = ()) -> None:
    """Raise ValueError unless a checkpoint may name these classes, and they have settings of these names and values."""
    if not isinstance(node, dict):  # OmegaConf would read a string as YAML
        raise ValueError(f"{part}={node!r:.60} in the checkpoint is refused: it describes no object")
    check_checkpoint_targets(node, part, trust)
    for place, each in walk(node, part):
        if isinstance(each, dict) and "_target_" in each:
            try:
                OmegaConf.merge(OmegaConf.structured(schema(str(each["_target_"]))), each)
            except OmegaConfBaseException as error:
                said = str(error.msg or error).partition("\n")[0]
                raise ValueError(f"{place} in the checkpoint is refused: {said}") from error


def construct(node: dict[str, Any], **given: Any) -> Any:
    try:
        return hydra.utils.instantiate(OmegaConf.create(node), _convert_="all", **given)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError):
            raise error.__cause__ from None
        raise


def key_of(node: DictConfig) -> str:
    """The key of a node in its configuration, such as "train.optimizer"; "" for a whole configuration."""
    return node._get_full_key(None)


def plain_values(node: DictConfig) -> dict[str, Any]:
    """The configuration as a checkpoint may hold it: dicts, lists, strings and numbers."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, enum_to_str=True))


def images_from(settings: dict[str, Any]) -> Images:
    """The images that plain values describe, as the user named them."""
    return instantiate(OmegaConf.create({"data": settings}).data)
