"""What the value of a setting may be, whatever its class: there if it is needed, a finite number, a class if one is."""

import math
from collections.abc import Iterator
from decimal import Decimal
from types import NoneType
from typing import Any, cast

from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig, OmegaConf

from diffusion.config.signature import REQUIRED, Setting, signature
from diffusion.config.trust import children, kind_of_hint, root_kind, shortest_name
from diffusion.denoiser.guidance import Guide

LARGEST = 2**53  # beyond which float64, and with it JSON and YAML of others, does not tell whole numbers apart


def check_command(config: DictConfig) -> None:
    """Raise ValueError for the first value in the whole configuration of a command that neither it nor a part takes."""
    root, values = OmegaConf.get_type(config), cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    assert root is not None, "every root has a schema"
    for key, setting in signature(f"{root.__module__}.{root.__qualname__}").settings.items():
        check_value(values[key], setting, key, "the command")
    check_values(values, "")


def check_values(node: Any, place: str) -> None:
    """Raise ValueError for the first value, at any depth of plain values, that no constructor can take."""
    target = node.get("_target_") if isinstance(node, dict) else None
    settings = signature(str(target)).settings if target is not None else {}
    for key, setting in settings.items():
        if key in node:
            check_value(node[key], setting, f"{place}.{key}".lstrip("."), str(target))
    for _, at, child in children(node, place):
        if root_kind(at) is not None and not isinstance(child, dict | NoneType):
            check_object(child, root_kind(at), at)
        check_values(child, at)


def check_value(value: Any, setting: Setting, at: str, owner: str) -> None:
    """Raise ValueError if an argument of `owner` cannot be this value."""
    kind = kind_of_hint(setting.hint)
    if value == MISSING:
        return  # whoever reads it asks for it
    if value is None:
        if not setting.takes_none:
            raise ValueError(f"{at} is null, and {owner} cannot be built without it; leave {at}=null out")
    elif kind is Guide and not isinstance(value, str):
        raise ValueError(f"{at}={value!s:.60} is no path of a run; set {at}=runs/NAME")
    elif kind is not Guide and getattr(kind, "__module__", "").startswith(("diffusion.", "unet.", "torch.")):
        check_object(value, kind, at)
    usual = "" if setting.default in (REQUIRED, MISSING, None) else f", such as {at}={setting.default}"
    for number in numbers_in(value):
        if isinstance(number, int):
            if abs(number) > LARGEST:
                raise ValueError(
                    f"{at}={Decimal(number):.0e} is too large for a whole number; set one up to {LARGEST}{usual}"
                )
        elif not math.isfinite(number) and number not in numbers_in(setting.default):
            raise ValueError(f"{at}={number} is no finite number; set one{usual}")


def check_object(value: Any, kind: type, at: str) -> None:
    """Raise ValueError if a plain value stands where an object is to be built: it was chosen by "." and not by "/"."""
    if isinstance(value, dict) and "_target_" in value:
        return
    group = at.replace(".", "/")
    options = GlobalHydra.instance().config_loader().get_group_options(group) if GlobalHydra().is_initialized() else []
    choice = f"choose one by {group}=... of {', '.join(options)}" if options else "give a class by its _target_"
    raise ValueError(f"{at}={value!s:.60} is no {shortest_name(kind)}; {choice}")


def numbers_in(value: Any) -> Iterator[int | float]:
    """The numbers in plain values, but those of objects in them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    if not (isinstance(value, dict) and "_target_" in value):
        for _, _, child in children(value, ""):
            yield from numbers_in(child)
