"""`/schema/package.Class@_here_` in a defaults list: the typed schema of a class, read off its constructor on demand.

Hydra finds these two plugins in every process through `hydra_plugins/diffusion_schema.py`.
"""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, List, Literal, Optional, Union, get_args, get_origin  # noqa: UP035

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, OmegaConf

from diffusion.config.signature import PLAIN, REQUIRED, find_class, signature


class Root:
    """The settings of a command. Its schema is the dataclass itself: nothing is built of it."""


@cache
def schema(name: str) -> type:
    """A dataclass of the settings of the class named `name`, typed as its arguments; `???` stands for no default."""
    target = find_class(name)
    if isinstance(target, type) and issubclass(target, Root):
        return target
    settings, partial = signature(name)
    fields: list[tuple[str, Any, Any]] = [("_target_", str, field(name))]
    for key, (hint, default) in settings.items():
        fields.append((key, checkable(hint), field(MISSING if default is REQUIRED else default)))
    if partial:
        fields.append(("_partial_", bool, field(True)))
    return dataclasses.make_dataclass(name.rpartition(".")[2], fields)


def field(default: Any) -> Any:
    return dataclasses.field(default_factory=lambda: default)


def checkable(hint: Any) -> Any:
    """The nearest type that OmegaConf checks; Any for objects, which have schemas of their own."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return literal(args)
    if origin in (Union, types.UnionType):
        some = {checkable(arg) for arg in args if arg is not types.NoneType}
        one = some.pop() if len(some) == 1 else Union[*some] if some <= {*PLAIN} else Any
        return Optional[one] if types.NoneType in args else one  # noqa: UP045
    if origin in (list, tuple, Sequence):
        inner = {checkable(arg) for arg in args if arg is not ...}
        return types.GenericAlias(list, (inner.pop() if len(inner) == 1 else Any,))
    if origin in (dict, Mapping) and args[0] is str:
        return types.GenericAlias(dict, (str, checkable(args[1])))
    return hint if hint in PLAIN else Any


def literal(values: tuple[Any, ...]) -> Any:
    """One of some words, checked as such; of other plain values only the type is checked."""
    words = {value: value for value in values if value is not None}
    are_text = all(isinstance(word, str) for word in words)
    one: Any = StrEnum("Literal", words) if are_text else checkable(Union[*map(type, words)])  # type: ignore[misc]
    return Optional[one] if None in values else one  # noqa: UP045


class SchemaSource(ConfigSource):
    """Answers `schema/package.Class`."""

    @staticmethod
    def scheme() -> str:
        return "schema"

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", "schema")

    def is_config(self, config_path: str) -> bool:
        return config_path.strip("/").startswith("schema/")

    def list(self, config_path: str, results_filter: ObjectType | None) -> List[str]:  # noqa: UP006
        return []

    def load_config(self, config_path: str) -> ConfigResult:
        name = config_path.strip("/").removeprefix("schema/").removesuffix(".yaml")
        try:
            config = OmegaConf.structured(schema(name))
        except ValueError as error:
            raise ConfigCompositionException(f"/schema/{error}") from None
        return ConfigResult(self.provider, "schema://", config, {"package": None})


class SchemaSearchPath(SearchPathPlugin):
    """Puts the schemas first in the search path; before them Hydra puts the folder that --config-dir names.

    So a user's file comes before one of the same name here.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.prepend("schema", "schema://")
