"""What a constructor takes: the settings of a class, their types and their defaults, read off its signature."""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from functools import cache
from types import ModuleType, NoneType, SimpleNamespace
from typing import Any, NamedTuple, get_args, get_type_hints

import torch
from torch import nn

PLAIN = (bool, int, float, str)
SETTINGS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
REQUIRED = inspect.Parameter.empty


class Setting(NamedTuple):
    """One argument: its type hint, and its default as a plain value, `REQUIRED` if it has none."""

    hint: Any
    default: Any

    @property
    def takes_none(self) -> bool:
        """False if a value is needed: the hint has no None in it, and the default is not None."""
        return self.default is None or self.hint in (Any, object, NoneType) or NoneType in get_args(self.hint)


class Signature(NamedTuple):
    """The settings by name; `partial` if the program gives more arguments, by position, when it builds the object."""

    settings: dict[str, Setting]
    partial: bool


def find_class(name: str) -> Any:
    """The class or function of a dotted name; ValueError that says why there is none."""
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", name):
        raise ValueError(f"{name} is no class; name one as package.module.Class")
    head, *rest = name.split(".")
    found, place = import_module(head, name), head
    for part in rest:
        place = f"{place}.{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            if not inspect.ismodule(found):
                raise ValueError(f"{name} does not exist") from None
            found = import_module(place, name)
    if not callable(found):
        raise ValueError(f"{name} is no class; name one as package.module.Class")
    return found


def import_module(module: str, name: str) -> ModuleType:
    """The module; ValueError if it, or another that it imports, is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            if "." in module:
                raise ValueError(f"{name} does not exist") from None
            missing = f"there is no module {module}"
        else:
            missing = f"{module} needs the module {error.name}"
        raise ValueError(
            f"{name} cannot be imported: {missing}; put its folder on PYTHONPATH, or pip install it"
        ) from None
    except ImportError as error:
        raise ValueError(f"{name} cannot be imported: {error}") from None


@cache
def signature(name: str) -> Signature:
    """What the constructor of the class named `name` takes; ValueError if it does not say."""
    target = find_class(name)
    settings: dict[str, Setting] = {}
    open_settings = getattr(target, "given_by_data", ())
    partial = hides = False
    for function, parameters in constructors(target):
        for each in parameters:
            partial = partial or each.kind is each.POSITIONAL_ONLY
            hides = hides or each.kind is each.VAR_KEYWORD
            if each.kind in SETTINGS and each.name not in settings:
                default = REQUIRED if each.name in open_settings else plain_default(target, name, each)
                settings[each.name] = Setting(hint_of(function, each), default)
    if hides and not settings:
        raise ValueError(f"{name} hides its arguments behind **kwargs; name them in __init__")
    if isinstance(target, type) and issubclass(target, torch.optim.Optimizer) and not partial:
        settings.pop(next(iter(settings)))  # the weights
        partial = True
    return Signature(settings, partial)


def constructors(target: Any) -> Iterator[tuple[Callable[..., Any], list[inspect.Parameter]]]:
    """The constructor and its parameters; then its parents', as long as each hands **kwargs on."""
    parents = [
        kind for kind in getattr(target, "__mro__", ()) if kind is not nn.Module
    ]  # whose arguments are no settings
    owners = [kind for kind in parents if inspect.isfunction(vars(kind).get("__init__"))]
    if not owners:
        yield target, list(inspect.signature(target).parameters.values())
    for owner in owners:
        function = vars(owner)["__init__"]
        parameters = list(inspect.signature(function).parameters.values())[1:]
        yield function, parameters
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return


def hint_of(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The evaluated type hint; Any where there is none, or it names what is imported for type checkers only."""
    if parameter.annotation is parameter.empty:
        return Any
    stub = SimpleNamespace(__annotations__={"it": parameter.annotation})
    with suppress(NameError, AttributeError):
        return get_type_hints(stub, globalns=getattr(inspect.unwrap(function), "__globals__", {}))["it"]
    return Any


def plain_default(target: Any, name: str, parameter: inspect.Parameter) -> Any:
    """The default as a configuration holds it: a tuple is a list there."""
    default = parameter.default
    if dataclasses.is_dataclass(target) and type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
        (factory,) = [f.default_factory for f in dataclasses.fields(target) if f.name == parameter.name]
        default = factory()  # type: ignore[operator, misc]
    if default is not REQUIRED and not is_plain(default):
        raise ValueError(
            f"{name}: the default of {parameter.name} is an object ({default!r:.60}); "
            "make it None, and build the object in __init__"
        )
    return as_list(default)


def is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(child) for key, child in value.items())
    return value is None or (isinstance(value, PLAIN) and not isinstance(value, Enum))


def as_list(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [as_list(child) for child in value]
    return {key: as_list(child) for key, child in value.items()} if isinstance(value, dict) else value
