"""Which classes settings may name: building one runs its code, so that it matters who speaks.

The user's own command line and files may name any class that can be imported. A checkpoint may come from anyone: it
names classes of this program, torch's optimizers, and packages that the user typed as trust=[...]. Either way a class
must be of the kind that its place is for: what the constructor around it says of that argument.
"""

import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Union, get_args, get_origin

import diffusion
from diffusion.config.signature import Setting, find_class, signature

# What the parts of a configuration must be that no constructor asks for; * stands for any one name.
ROOTS = {
    "model": "torch.nn.Module",
    "data": "diffusion.Images",
    "diffusion": "diffusion.Diffusion",
    "train": "diffusion.Trainer",
    "train.evaluations.*": "diffusion.Evaluation",
    "sampler": "diffusion.Sampler",
    "task": "diffusion.Task",
    "guidance": "diffusion.Guidance",
    "logger": "diffusion.Logger",
    "evaluation": "diffusion.Evaluation",
    "conditions.*": "diffusion.Condition",
}
PUBLIC = re.compile(r"(unet|torch\.optim)\.[A-Z]\w*")
OWN = ("diffusion", "unet")
TELLS_HOW = {"_target_", "_partial_"}  # of the keys by which Hydra is told how to build, what a checkpoint may say


def check_user_targets(node: Any, part: str) -> None:
    """Raise ValueError if a class that the user named cannot be imported, or is of another kind than its place."""
    check_kinds(node, part, root_kind(part))


def check_checkpoint_targets(node: Any, part: str, trust: Iterable[str] = ()) -> None:
    """Raise ValueError if a checkpoint names what it may not. No untrusted package is imported to find out."""
    for place, value in walk(node, part):
        if "${" in (value if isinstance(value, str) else " ".join(map(str, value)) if isinstance(value, dict) else ""):
            why = "it holds an interpolation, and must be a plain value"
            raise ValueError(f"{place} in the checkpoint is refused: {why}")
        if isinstance(value, dict) and (odd := {key for key in value if str(key).startswith("_")} - TELLS_HOW):
            raise ValueError(f"{place}.{min(odd)} in the checkpoint is refused: it says how to build, and may not")
    for place, target in targets(node, part):
        if not is_trusted(target, trust):
            package = target.partition(".")[0]
            why = f"its package could run any code; if you trust it, type 'trust=[{package}]'"
            if package in ("diffusion", "unet", "torch") or not package.isidentifier():
                why = "only classes of diffusion, unet and torch.optim may be named, as in diffusion.Cosine"
            raise ValueError(f"{place}._target_={target} in the checkpoint is refused: {why}")
    for place, target, kind in check_kinds(node, part, root_kind(part)):
        if kind is None and not is_inside(target, trust):
            raise ValueError(f"{place}._target_={target} in the checkpoint is refused: it does not belong there")


def check_kinds(node: Any, place: str, kind: Any) -> list[tuple[str, str, Any]]:
    """(place, class name, kind) of every class named in plain values; ValueError if one is not of its kind."""
    found: list[tuple[str, str, Any]] = []
    settings: dict[str, Setting] = {}
    if isinstance(node, dict) and "_target_" in node:
        target = str(node["_target_"])
        named = find_class(target)
        if not isinstance(named, type):
            raise ValueError(f"{place}._target_={target} is a function; name a class")
        if kind is not None and not issubclass(named, kind):
            raise ValueError(
                f"{place} needs a {shortest_name(kind)}, and {target} is none; inherit from it, or take one of "
                f"conf/{place.replace('.', '/')}"
            )
        found, settings = [(place, target, kind)], signature(target).settings
    for key, at, child in children(node, place):
        hint = kind_of_hint(settings[key].hint) if key in settings else None
        found += check_kinds(child, at, root_kind(at) or hint)
    return found


def shortest_name(kind: type) -> str:
    """The class as a user imports it: diffusion.Images, torch.nn.Module."""
    parts = kind.__module__.split(".")
    places = [".".join(parts[: count + 1]) for count in range(len(parts))]
    found = (place for place in places if getattr(sys.modules.get(place), kind.__name__, None) is kind)
    return f"{next(found, kind.__module__)}.{kind.__name__}"


def root_kind(place: str) -> Any:
    """The class that the part at `place` of a configuration must be; None where a constructor says it, or nothing."""
    for pattern, kind in ROOTS.items():
        if re.fullmatch(pattern.replace(".", r"\.").replace("*", "[^.]*"), place):
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


def is_trusted(target: str, trust: Iterable[str]) -> bool:
    """True if a checkpoint may name it: a public class of this program, or anything of a trusted package."""
    package, _, name = target.partition(".")
    if package == "diffusion":
        return name in diffusion.public_classes()
    return bool(PUBLIC.fullmatch(target)) or (bool(re.fullmatch(r"[\w.]+", target)) and is_inside(target, trust))


def is_inside(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def targets(node: Any, place: str = "") -> list[tuple[str, str]]:
    """(place, class name) of every `_target_` at any depth of plain values."""
    return [
        (at, str(each["_target_"])) for at, each in walk(node, place) if isinstance(each, dict) and "_target_" in each
    ]


def walk(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """(place, value) of plain values and of all that is in them."""
    yield place, node
    for _, at, child in children(node, place):
        yield from walk(child, at)


def children(node: Any, place: str) -> list[tuple[Any, str, Any]]:
    """(key, place, value) of what plain values hold."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    return [(key, f"{place}.{key}".lstrip("."), child) for key, child in pairs]
