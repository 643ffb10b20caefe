"""What of two runs is not equal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from breaking.life import STEPS, lines
from diffusion.runs import checkpoints, status


def difference(run: Path, whole: Path, *, may_lack_lines: bool = False) -> str:
    """What of a run is not as in the unbroken one; nothing if it is equal."""
    left = [name for name in names(run) if re.search(r"partial|tmp|damaged", name)]
    if left:
        return f"left {', '.join(left)}"
    told = status.read_status(run)
    if (told.get("state"), told.get("step")) != ("finished", STEPS):
        return f"outcome {told}"
    if not all(line in lines(whole) for line in lines(run)) if may_lack_lines else lines(run) != lines(whole):
        return "metrics.jsonl differs"
    if names(run) != names(whole):
        return f"files {names(run)} instead of {names(whole)}"
    states = [checkpoints.load_checkpoint(folder) for folder in (run, whole)]
    unlike = [part for part in states[1] if not equal(states[0].get(part), states[1][part])]
    return f"{', '.join(unlike)} differ" if unlike else ""


def names(run: Path) -> list[str]:
    """The files and folders of a run, but for W&B's own, and for the checkpoints before the last one.

    Which of these stay depends on the disk: one that waits gives way to a newer one.
    """
    last = f"step_{STEPS:08}.pt"
    paths = [path for path in run.rglob("*") if "wandb" not in path.relative_to(run).parts]
    return sorted(path.name for path in paths if path.suffix != ".pt" or path.name == last or "partial" in path.name)


def equal(one: Any, other: Any) -> bool:
    if isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(other, dict):
        return isinstance(one, dict) and list(one) == list(other) and all(equal(one[key], other[key]) for key in other)
    if isinstance(other, list):
        return isinstance(one, list) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other
