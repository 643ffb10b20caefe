"""Checkpoints: one file each, whole or not there."""

from __future__ import annotations

import logging
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

FORMAT = 1
log = logging.getLogger(__name__)


class Foreign(ValueError):
    """The file was not written by this program."""


def save(folder: Path, state: dict[str, Any], *, keep: int, keep_every: int | None) -> Path:
    """Write `state` as folder/step_N.pt; then only the last `keep` files and every `keep_every`-th step remain."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{state['step']:08d}.pt"
    partial = path.with_suffix(".partial")
    try:
        with open(partial, "wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OSError(getattr(error, "errno", None), f"the checkpoint was not written ({reason})", str(path)) from error
    sync_folder(folder)
    for old in stored(folder)[:-keep]:
        if not (keep_every and step_of(old) % keep_every == 0):
            old.unlink()
    return path


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def load(path: Path) -> dict[str, Any]:
    """The state in a file. ValueError if it is missing or damaged (every record's CRC-32 is checked); Foreign if it is
    not ours."""
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}; give a run folder (checkpoint=runs/NAME) or a .pt file")
    foreign = Foreign(f"{path} is not a checkpoint of this program (format {FORMAT}); give one that train.py wrote")
    with open(path, "rb") as file:
        # Ours are zip archives, and begin like one even when the rest is damaged.
        if file.read(2) not in (b"PK", b""):
            raise foreign
    try:
        with zipfile.ZipFile(path) as records:
            damaged = records.testzip()
        if damaged is None:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path} holds more than tensors and plain values, and was not opened") from None
    except Exception as error:  # What is no such file can fail in any way: BadZipFile, KeyError, ...
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is truncated, damaged or no checkpoint ({reason})") from None
    if damaged is not None:
        raise ValueError(f"{path} is damaged: the checksum of {damaged} does not match")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise foreign
    if missing := sorted({"step", "model", "config"} - state.keys()):
        raise ValueError(f"{path} lacks {', '.join(missing)}; it is no whole checkpoint")
    return state


def newest(run: Path) -> dict[str, Any] | None:
    """The state of a run's last sound checkpoint, or None if it has none; damaged ones are passed over by name."""
    paths = stored(run / "checkpoints")
    for path in reversed(paths):
        try:
            return load(path)
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
    return load(path)
