"""Which classes settings may name: building one runs its code, so that it matters who speaks.

The user's own command line and files may name any class that can be imported. A checkpoint may come from anyone: it
names classes of this program, torch's optimizers, and packages that the user typed as trust=[...].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from diffusion.config.signature import find_class

# What each part must be; * stands for any one name.
KINDS = {
    "model": "torch.nn.Module",
    "data": "diffusion.Images",
    "data.images": "diffusion.Images",
    "diffusion": "diffusion.GaussianDiffusion",
    "diffusion.schedule": "diffusion.Schedule",
    "diffusion.prediction": "diffusion.Prediction",
    "diffusion.variance": "diffusion.Variance",
    "diffusion.loss": "diffusion.Loss",
    "train": "diffusion.Trainer",
    "train.optimizer": "torch.optim.Optimizer",
    "train.schedule_sampler": "diffusion.ScheduleSampler",
    "train.preview": "diffusion.Preview",
    "train.evaluations.*": "diffusion.Evaluation",
    "train.evaluations.*.sampler": "diffusion.Sampler",
    "train.evaluations.*.features": "diffusion.Features",
    "sampler": "diffusion.Sampler",
    "logger": "diffusion.WandbLogger",
    "evaluation": "diffusion.Evaluation",
    "evaluation.sampler": "diffusion.Sampler",
    "evaluation.features": "diffusion.Features",
}
PUBLIC = re.compile(r"(diffusion|unet|torch\.optim)\.[A-Z]\w*")


def check_user_targets(node: Any, part: str) -> None:
    """Raise ValueError if a class that the user named cannot be imported, or is of another kind than its part."""
    for place, target in targets(node, part):
        check_kind(place, target)


def check_checkpoint_targets(node: Any, part: str, trust: Iterable[str] = ()) -> None:
    """Raise ValueError if a checkpoint names what it may not. No untrusted package is imported to find out."""
    if place := interpolation(node, part):
        raise ValueError(f"{place} in the checkpoint is refused: it holds an interpolation, and must be a plain value")
    named = list(targets(node, part))
    for place, target in named:
        check_trusted(place, target, trust)
    for place, target in named:
        if kind_of(place) is None and not is_inside(target, trust):
            raise ValueError(f"{place}._target_={target} in the checkpoint is refused: it does not belong there")
        check_kind(place, target)


def check_trusted(place: str, target: str, trust: Iterable[str]) -> None:
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


def check_kind(place: str, target: str) -> None:
    """Raise ValueError unless the class exists and is what its part must be."""
    found, kind = find_class(target), kind_of(place)
    if not isinstance(found, type):
        raise ValueError(f"{place}._target_={target} is a function; name a class")
    if kind is not None and not issubclass(found, find_class(kind)):
        group = place.replace(".", "/")
        raise ValueError(f"{place} needs a {kind}, and {target} is none; inherit from it, or take one of conf/{group}")


def kind_of(place: str) -> str | None:
    """The public name of what the part at `place` must be; None if it may be anything."""
    names = place.split(".")
    for pattern, kind in KINDS.items():
        wanted = pattern.split(".")
        if len(wanted) == len(names) and all(w in ("*", n) for w, n in zip(wanted, names, strict=True)):
            return kind
    return None


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
