"""Which classes settings may name: building one runs its code, so that it matters who speaks.

The user's own command line and files may name any class that can be imported. A checkpoint may come from anyone: it
names classes of this program, torch's optimizers, and packages that the user typed as trust=[...]. Either way a class
must be of the kind that its place is for: what the constructor around it says of that argument.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Union, get_args, get_origin

from diffusion.config.signature import find_class, signature

# What the parts of a configuration must be that no constructor asks for; * stands for any one name.
ROOTS = {
    "model": "torch.nn.Module",
    "data": "diffusion.Images",
    "diffusion": "diffusion.Diffusion",
    "train": "diffusion.Trainer",
    "train.evaluations.*": "diffusion.Evaluation",
    "sampler": "diffusion.Sampler",
    "guidance": "diffusion.Guidance",
    "logger": "diffusion.WandbLogger",
    "evaluation": "diffusion.Evaluation",
    "conditions.*": "diffusion.Condition",
}
PUBLIC = re.compile(r"(diffusion|unet|torch\.optim)\.[A-Z]\w*")


def check_user_targets(node: Any, part: str) -> None:
    """Raise ValueError if a class that the user named cannot be imported, or is of another kind than its place."""
    check_kinds(node, part, root_kind(part))


def check_checkpoint_targets(node: Any, part: str, trust: Iterable[str] = ()) -> None:
    """Raise ValueError if a checkpoint names what it may not. No untrusted package is imported to find out."""
    if place := interpolation(node, part):
        raise ValueError(f"{place} in the checkpoint is refused: it holds an interpolation, and must be a plain value")
    for place, target in targets(node, part):
        check_trusted(place, target, trust)
    for place, target, kind in check_kinds(node, part, root_kind(part)):
        if kind is None and not is_inside(target, trust):
            raise ValueError(f"{place}._target_={target} in the checkpoint is refused: it does not belong there")


def check_kinds(node: Any, place: str, kind: Any) -> list[tuple[str, str, Any]]:
    """(place, class name, kind) of every class named in plain values; ValueError if one is not of its kind."""
    if not isinstance(node, dict) or "_target_" not in node:
        inner = [(f"{place}.{key}".lstrip("."), child) for key, child in children(node)]
        return [one for at, child in inner for one in check_kinds(child, at, root_kind(at))]
    target = str(node["_target_"])
    require_kind(place, target, kind)
    found, settings = [(place, target, kind)], signature(target).settings
    for key, child in node.items():
        at = f"{place}.{key}"
        hint = kind_of_hint(settings[key].hint) if key in settings else None
        found += check_kinds(child, at, root_kind(at) or hint)
    return found


def require_kind(place: str, target: str, kind: Any) -> None:
    """Raise ValueError unless the class exists and is of that kind, None being any."""
    found = find_class(target)
    if not isinstance(found, type):
        raise ValueError(f"{place}._target_={target} is a function; name a class")
    if kind is not None and not issubclass(found, kind):
        group = place.replace(".", "/")
        raise ValueError(
            f"{place} needs a {shortest_name(kind)}, and {target} is none; inherit from it, or take one of conf/{group}"
        )


def shortest_name(kind: type) -> str:
    """The class as a user imports it: diffusion.Images, torch.nn.Module."""
    parts = kind.__module__.split(".")
    places = [".".join(parts[: count + 1]) for count in range(len(parts))]
    found = (place for place in places if getattr(sys.modules.get(place), kind.__name__, None) is kind)
    return f"{next(found, kind.__module__)}.{kind.__name__}"


def root_kind(place: str) -> Any:
    """The class that the part at `place` of a configuration must be; None where a constructor says it, or nothing."""
    names = place.split(".")
    for pattern, kind in ROOTS.items():
        wanted = pattern.split(".")
        if len(wanted) == len(names) and all(w in ("*", n) for w, n in zip(wanted, names, strict=True)):
            return find_class(kind)
    return None


def kind_of_hint(hint: Any) -> Any:
    """The class that an argument of that type hint is, or that what it calls returns; None if it is no class."""
    origin, args = get_origin(hint), [arg for arg in get_args(hint) if arg is not types.NoneType]
    if origin in (Union, types.UnionType) and len(args) == 1:
        return kind_of_hint(args[0])
    if origin is Callable:
        return kind_of_hint(args[-1])
    return hint if isinstance(hint, type) and origin is None and hint is not object else None


def check_trusted(place: str, target: str, trust: Iterable[str]) -> None:
    """Raise ValueError unless a checkpoint may name the class."""
    if is_trusted(target, trust):
        return
    package = target.partition(".")[0]
    if package in ("diffusion", "unet", "torch") or not package.isidentifier():
        allowed = "only classes of diffusion, unet and torch.optim may be named, as in diffusion.Cosine"
        raise ValueError(f"{place}._target_={target} in the checkpoint is refused: {allowed}")
    raise ValueError(
        f"{place}._target_={target} in the checkpoint is refused: its package could run any code; "
        f"if you trust it, type 'trust=[{package}]'"
    )


def is_trusted(target: str, trust: Iterable[str]) -> bool:
    """True if a checkpoint may name it: a public class of this program, or anything of a trusted package."""
    return bool(PUBLIC.fullmatch(target)) or (bool(re.fullmatch(r"[\w.]+", target)) and is_inside(target, trust))


def is_inside(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def targets(node: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """(place, class name) of every `_target_` at any depth of plain values."""
    if isinstance(node, dict) and "_target_" in node:
        yield place, str(node["_target_"])
    for key, child in children(node):
        yield from targets(child, f"{place}.{key}".lstrip("."))


def interpolation(node: Any, place: str) -> str | None:
    """Where a string holds what OmegaConf would resolve; None if none does."""
    if isinstance(node, str):
        return place if "${" in node else None
    found = (interpolation(child, f"{place}.{key}".lstrip(".")) for key, child in children(node))
    keys = (place for key, _ in children(node) if "${" in str(key))
    return next(keys, None) or next((one for one in found if one), None)


def children(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, dict):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list | tuple) else []
