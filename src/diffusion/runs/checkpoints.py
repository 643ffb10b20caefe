"""The checkpoints of a run: files of tensors and plain values under checksums, checked before anything is built."""

import io
import logging
import pickle
import re
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from diffusion.runs.files import DISK_FULL, atomic_write

log = logging.getLogger(__name__)

CHECKPOINT_FORMAT = 1
STATE_PARTS = {  # what every file of this format holds
    "step": int, "model": dict, "ema": dict, "optimizer": dict, "scaler": dict, "schedule_sampler": dict,
    "averages": dict, "config": dict,
}  # fmt: skip
MOST_STEPS = 2**48
MOST_LEVELS = 30  # of a configuration


class Foreign(ValueError):
    """The file was not written by this program."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path` in one step, so that a file of that name is whole. OSError if that fails."""
    with atomic_write(path) as partial, open(partial, "wb") as file:
        torch.save({"format": CHECKPOINT_FORMAT, **state}, file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a file. ValueError if it is missing, damaged or more than plain values; Foreign if not ours."""
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}; give a run folder (checkpoint=runs/NAME) or a .pt file")
    foreign = Foreign(f"{path} is not a checkpoint of this program (format {CHECKPOINT_FORMAT}); give one of train.py")
    with open(path, "rb") as file:
        # Ours are zip archives, and begin like one even when the rest is damaged.
        if file.read(2) not in (b"PK", b""):
            raise foreign
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path} holds more than tensors and plain values, and was not opened") from None
    except Exception as error:  # What is no such file can fail in any way: BadZipFile, KeyError, ...
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is truncated, damaged or no checkpoint ({reason})") from None
    if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
        raise foreign
    check_parts(path, state)
    return state


def check_archive(path: Path) -> None:
    """ValueError if an archive's bytes do not match its checksums, or if it could unpack to any size."""
    with zipfile.ZipFile(path) as archive:
        if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
            raise ValueError("its records are compressed, and could be of any size")
        if archive.testzip():
            raise ValueError("its checksum does not match")


def check_parts(path: Path, state: dict[str, Any]) -> None:
    """Raise ValueError unless every part is there and of its kind."""
    wrong = [name for name, kind in STATE_PARTS.items() if not isinstance(state.get(name), kind)]
    if "step" not in wrong and (isinstance(state["step"], bool) or not 0 <= state["step"] < MOST_STEPS):
        wrong.append("step")
    if not is_tree(state.get("config"), MOST_LEVELS):
        wrong.append("config")
    averages = () if "ema" in wrong else state["ema"].values()
    for part in (state.get("model", {}), state.get("averages", {}), *averages):
        if not isinstance(part, dict) or not all(isinstance(weight, torch.Tensor) for weight in part.values()):
            wrong.append("weights")
    if wrong:
        names = ", ".join(dict.fromkeys(wrong))
        raise ValueError(f"{path} lacks {names}, or has them of a wrong kind; it is no whole checkpoint")


def is_tree(tree: Any, depth: int) -> bool:
    """True for dicts and lists of text, numbers and None, at most `depth` levels deep, as one could contain itself."""
    if isinstance(tree, dict):
        return depth > 0 and all(isinstance(key, str) and is_tree(value, depth - 1) for key, value in tree.items())
    if isinstance(tree, list):
        return depth > 0 and all(is_tree(value, depth - 1) for value in tree)
    return tree is None or isinstance(tree, bool | int | float | str)


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
    """The checkpoints before the last one whose bytes match their checksums; none if there is no such."""
    paths = list_checkpoints(folder)
    while paths:
        with suppress(Exception):  # What is damaged can fail in any way.
            check_archive(paths.pop())
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
        raise ValueError(f"{path} has no checkpoint yet; train there first, or give another: checkpoint=runs/NAME")
    return state
