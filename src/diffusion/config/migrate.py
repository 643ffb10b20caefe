"""Settings that an earlier version stored, in the words of this one."""

import dataclasses
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from diffusion.config.roots import TrainConfig
from diffusion.config.signature import REQUIRED, as_list, signature
from diffusion.config.trust import is_trusted

# A class was stored under the file that held it; it is named by its package since: diffusion.schedules.Cosine is
# diffusion.Cosine. Classes that were renamed, and settings that are no more:
RENAMED = {"diffusion.adamw": "diffusion.AdamW"}
REMOVED = ("train.schedule_sampler.steps", "sampler.clip_guided")
LABEL = {"_target_": "diffusion.Label"}


def complete(settings: dict[str, Any], trust: Iterable[str] = ()) -> dict[str, Any]:
    """The settings of a training run in today's words, with today's default for every one that they lack.

    So a setting that is added later leaves what was stored before as it was: the same as the default.
    """
    if not isinstance(settings, dict):
        return settings  # garbage, which who reads it refuses
    roots = {field.name: root_default(field) for field in dataclasses.fields(TrainConfig)}
    known = {name: value for name, value in roots.items() if value is not REQUIRED}
    return {**known, **migrate(with_conditions(settings), trust)}


def with_conditions(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with `conditions`, which were once the label and, by a wrapper of the data, the small image."""
    if "conditions" in settings:
        return settings
    data: Any = settings.get("data")
    conditions: dict[str, Any] = {"y": LABEL}
    if isinstance(data, dict) and "low_res_size" in data and "images" in data:
        conditions["low_res"] = {"_target_": "diffusion.SmallImage", "size": data["low_res_size"]}
        data = data["images"]
    return {**settings, "data": data, "conditions": conditions}


def migrate(node: Any, trust: Iterable[str] = (), place: str = "") -> Any:
    """Plain values with every class under its public name, its constructor's defaults, and no setting that is no more.

    Only what a checkpoint may name is looked up: the nodes of other classes lack what they lack.
    """
    if isinstance(node, list):
        return [migrate(child, trust, place) for child in node]
    if not isinstance(node, dict):
        return node
    at = {key: f"{place}.{key}".lstrip(".") for key in node}
    found = {key: migrate(child, trust, at[key]) for key, child in node.items() if at[key] not in REMOVED}
    if "_target_" in node:
        found["_target_"] = public_name(node["_target_"])
    target = found.get("_target_")
    return {**defaults(target), **found} if isinstance(target, str) and is_trusted(target, trust) else found


def public_name(target: Any) -> Any:
    """The name by which the package itself knows a class of it that is named by its file; other names as they are."""
    match = re.fullmatch(r"(diffusion|unet)\.(?:\w+\.)*(\w+)", target) if isinstance(target, str) else None
    if match is None:
        return target
    short = f"{match[1]}.{match[2]}"
    short = RENAMED.get(short, short)
    return short if short.rpartition(".")[2][0].isupper() else target


def defaults(target: str) -> dict[str, Any]:
    """The defaults of a constructor's settings; none if the class is no more, or does not say."""
    with suppress(ValueError):
        settings = signature(target).settings
        return {name: setting.default for name, setting in settings.items() if setting.default is not REQUIRED}
    return {}


def root_default(field: dataclasses.Field[Any]) -> Any:
    """A plain default; `REQUIRED` for what has none, or is an interpolation."""
    if callable(field.default_factory):
        return as_list(field.default_factory())
    value = field.default
    return REQUIRED if value is dataclasses.MISSING or (isinstance(value, str) and value[:2] in ("??", "${")) else value
