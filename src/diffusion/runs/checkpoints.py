"""The checkpoints of a run, as a folder of files."""

import logging
import re
from pathlib import Path
from typing import Any

from diffusion.runs.checkpoint_file import read_checkpoint, write_checkpoint

log = logging.getLogger(__name__)


def save_checkpoint(folder: Path, state: dict[str, Any], *, keep: int, keep_every: int | None) -> Path:
    """Write `state` as folder/step_N.pt; then only the last `keep` files and every `keep_every`-th step remain."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{state['step']:08d}.pt"
    write_checkpoint(path, state)
    for old in list_checkpoints(folder)[:-keep]:
        if not (keep_every and checkpoint_step(old) % keep_every == 0):
            old.unlink()
    return path


def last_step(folder: Path) -> int:
    """The step of the newest file in a folder, 0 if there is none."""
    return max(map(checkpoint_step, list_checkpoints(folder)), default=0)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(p for p in folder.glob("step_*.pt") if re.fullmatch(r"step_\d+\.pt", p.name))


def checkpoint_step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def clean_up(folder: Path, step: int) -> None:
    """Remove what a killed process left half-written; rename files after `step`, which were damaged, to .damaged."""
    for partial in folder.glob("step_*.partial.pt"):
        partial.unlink()
    for path in list_checkpoints(folder):
        if checkpoint_step(path) > step:
            path.rename(path.with_suffix(".damaged"))


def load_newest(run: Path) -> dict[str, Any] | None:
    """The state in a run's last sound checkpoint, None if it has no file; a warning names each damaged one skipped."""
    paths = list_checkpoints(run / "checkpoints")
    for path in reversed(paths):
        try:
            return read_checkpoint(path)
        except ValueError as error:
            log.warning("%s; trying the one before", error)
    if paths:
        raise ValueError(f"none of the {len(paths)} checkpoints in {run / 'checkpoints'} can be read")
    return None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in the file `path`, or the newest in the run folder `path`."""
    state = load_newest(path) if path.is_dir() else read_checkpoint(path)
    if state is None:
        raise ValueError(f"{path} has no checkpoint yet; train there first, or give another: checkpoint=runs/NAME")
    return state
