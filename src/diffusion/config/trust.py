"""Which classes a configuration may name: building one runs its code, and a configuration may come from anyone."""

from __future__ import annotations

import pkgutil
import re
from typing import Any

PACKAGES = ("diffusion", "unet", "torch.optim")


def check_targets(node: Any, kinds: tuple[type, ...] = (object,)) -> None:
    """Raise ValueError if a `_target_` at any depth of plain values is not allowed, or of none of the `kinds`."""
    for target in targets(node):
        check_target(target, kinds)


def targets(node: Any) -> list[str]:
    """Every `_target_` at any depth."""
    if isinstance(node, list):
        return [target for child in node for target in targets(child)]
    if not isinstance(node, dict):
        return []
    mine = [str(node["_target_"])] if "_target_" in node else []
    return mine + [target for child in node.values() for target in targets(child)]


def check_target(target: str, kinds: tuple[type, ...] = (object,)) -> None:
    """Refuse what is no class of the allowed packages and no optimizer: a function could write files.

    A name that begins elsewhere is not even looked up, since importing runs code. pkgutil would take a colon in a name
    and look up something else than Hydra.
    """
    refused = ValueError(f"_target_={target} is refused: only classes of {', '.join(PACKAGES)} may be built")
    if not inside(target) or not re.fullmatch(r"[\w.]+", target):
        raise refused
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"_target_={target} does not exist") from None
    module = getattr(found, "__module__", None) or ""
    if not inside(module) or not (isinstance(found, type) or module == "diffusion.training.optimizer"):
        raise refused
    if isinstance(found, type) and not issubclass(found, kinds):
        raise ValueError(f"_target_={target} is refused: it does not belong there")


def inside(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in PACKAGES)
