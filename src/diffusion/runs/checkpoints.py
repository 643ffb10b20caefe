"""The checkpoints of a run: files of tensors and plain values under checksums, checked before anything is built."""

import io
import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from diffusion.runs.files import DISK_FULL, atomic_write
from diffusion.runs.printable import printable_values
from diffusion.runs.small_files import open_regular
from diffusion.runs.state import wrong_parts
from diffusion.runs.tensor_files import is_archive, read_open_file, read_tensor_file

log = logging.getLogger(__name__)

CHECKPOINT_FORMAT = 1


class Foreign(ValueError):
    """The file was not written by this program."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path` in one step, so that a file of that name is whole. OSError if that fails."""
    with atomic_write(path) as partial, open(partial, "wb") as file:
        torch.save({"format": CHECKPOINT_FORMAT, **state}, file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a file. ValueError if it is missing, damaged or more than plain values; Foreign if not ours.

    Texts among its settings are made printable, as they may be shown.
    """
    foreign = Foreign(f"{path} is not a checkpoint of this program (format {CHECKPOINT_FORMAT}); give one of train.py")
    try:
        with open_regular(path) as file:
            if not is_archive(file):
                raise foreign
            state = read_open_file(file, path)
    except OSError as error:
        raise ValueError(
            f"no checkpoint at {path} ({error.strerror}); give a run folder, such as runs/NAME, or a .pt file"
        ) from None
    if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
        raise foreign
    if wrong := wrong_parts(state):
        names = ", ".join(wrong[:10])
        raise ValueError(f"{path} lacks {names}, or has them of a wrong kind; it is no whole checkpoint")
    return {**state, "config": printable_values(state["config"])}


def save_checkpoint(folder: Path, state: dict[str, Any], *, keep: int, keep_every: int | None) -> Path:
    """Write `state` as folder/step_N.pt; then only the last `keep` files and every `keep_every`-th step remain.

    On a full disk, those before the last sound file give way first. OSError if there is no room even so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, state["step"])
    try:
        write_checkpoint(path, state)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        if removed := remove_old(before_last_sound(folder), keep_every):
            log.warning("The disk is full: %s gave way to %s", ", ".join(old.name for old in removed), path)
            return save_checkpoint(folder, state, keep=keep, keep_every=keep_every)
        room = f"{file_size(state) / 1e6:,.1f} MB are needed and {shutil.disk_usage(folder).free / 1e6:,.1f} MB free"
        raise OSError(error.errno, f"{error.strerror} ({room})", str(path)) from error
    remove_old(list_checkpoints(folder)[:-keep], keep_every)
    return path


def remove_old(paths: list[Path], keep_every: int | None) -> list[Path]:
    """Remove these checkpoints but for every `keep_every`-th step; those that were removed."""
    old = [path for path in paths if not (keep_every and checkpoint_step(path) % keep_every == 0)]
    for path in old:
        path.unlink()
    return old


def before_last_sound(folder: Path) -> list[Path]:
    """The checkpoints before the last sound one; none if there is no such."""
    paths = list_checkpoints(folder)
    while paths:
        with suppress(ValueError):
            read_tensor_file(paths.pop())
            return paths
    return []


def file_size(state: dict[str, Any]) -> int:
    """How many bytes the file of `state` has."""
    size = 0

    class Counter(io.BytesIO):
        def write(self, part: Any) -> int:
            nonlocal size
            size += len(part)
            return len(part)

    torch.save({"format": CHECKPOINT_FORMAT, **state}, Counter())
    return size


def last_step(folder: Path) -> int:
    """The step of the newest file in a folder, 0 if there is none."""
    return max(map(checkpoint_step, list_checkpoints(folder)), default=0)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(p for p in folder.glob("step_*.pt") if re.fullmatch(r"step_\d+\.pt", p.name))


def path_of(folder: Path, step: int) -> Path:
    return folder / f"step_{step:08d}.pt"


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
        raise ValueError(f"{path} has no checkpoint yet; train there first, or give a run or a folder of diffusers")
    return state
