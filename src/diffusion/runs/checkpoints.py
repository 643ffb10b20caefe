"""The checkpoints of a run: a folder of files, of which some stay."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from diffusion.runs.checkpoint_file import Foreign, read, write

__all__ = ["Foreign", "find", "last_step", "newest", "read", "save", "step_of", "stored", "tidy"]

log = logging.getLogger(__name__)


def save(folder: Path, state: dict[str, Any], *, keep: int, keep_every: int | None) -> Path:
    """Write `state` as folder/step_N.pt; then only the last `keep` files and every `keep_every`-th step remain."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{state['step']:08d}.pt"
    write(path, state)
    for old in stored(folder)[:-keep]:
        if not (keep_every and step_of(old) % keep_every == 0):
            old.unlink()
    return path


def last_step(folder: Path) -> int:
    """The step of the newest file in a folder, 0 if there is none."""
    return max(map(step_of, stored(folder)), default=0)


def stored(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(p for p in folder.glob("step_*.pt") if re.fullmatch(r"step_\d+\.pt", p.name))


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def tidy(folder: Path, step: int) -> None:
    """Remove what a killed process left half-written; set aside files after `step`, which were damaged."""
    for partial in folder.glob("step_*.partial"):
        partial.unlink()
    for later in [path for path in stored(folder) if step_of(path) > step]:
        later.rename(later.with_suffix(".damaged"))


def newest(run: Path) -> dict[str, Any] | None:
    """The state of a run's last sound checkpoint, or None if it has none; damaged ones are passed over by name."""
    paths = stored(run / "checkpoints")
    for path in reversed(paths):
        try:
            return read(path)
        except ValueError as error:
            log.warning("%s; trying the one before", error)
    if paths:
        raise ValueError(f"none of the {len(paths)} checkpoints in {run / 'checkpoints'} can be read")
    return None


def find(path: Path) -> dict[str, Any]:
    """The state at `path`: a file, or a run folder's newest."""
    if path.is_dir():
        state = newest(path)
        if state is None:
            raise ValueError(f"{path} has no checkpoint yet; train there first, or give another: checkpoint=runs/NAME")
        return state
    return read(path)
