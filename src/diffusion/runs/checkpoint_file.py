"""One checkpoint as a file: tensors and plain values under checksums, checked before anything is built from it."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from diffusion.runs.files import atomic_write

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
    try:
        with atomic_write(path) as partial, open(partial, "wb") as file:
            torch.save({"format": CHECKPOINT_FORMAT, **state}, file)
    except (OSError, RuntimeError) as error:
        # torch hides what the disk said behind an error of its own.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = getattr(cause, "strerror", None) or str(cause).splitlines()[0]
        raise OSError(getattr(cause, "errno", None), f"the checkpoint was not written ({reason})", str(path)) from error


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
    if missing := sorted(STATE_PARTS.keys() - state.keys()):
        raise ValueError(f"{path} lacks {', '.join(missing)}; it is no whole checkpoint")
    wrong = [name for name, kind in STATE_PARTS.items() if not isinstance(state[name], kind)]
    if type(state["step"]) is not int or not 0 <= state["step"] < MOST_STEPS:
        wrong.append("step")
    if not is_tree(state["config"], MOST_LEVELS):
        wrong.append("config")
    averages = state["ema"].values() if isinstance(state["ema"], dict) else ()
    for part in (state["model"], state["averages"], *averages):
        if not isinstance(part, dict) or not all(isinstance(weight, torch.Tensor) for weight in part.values()):
            wrong.append("weights")
    if wrong:
        raise ValueError(
            f"{path} has {', '.join(dict.fromkeys(wrong))} of a wrong kind; it is no checkpoint of this program"
        )


def is_tree(tree: Any, depth: int) -> bool:
    """True for dicts and lists of text, numbers and None, at most `depth` levels deep, as one could contain itself."""
    if isinstance(tree, dict):
        return depth > 0 and all(isinstance(key, str) and is_tree(value, depth - 1) for key, value in tree.items())
    if isinstance(tree, list):
        return depth > 0 and all(is_tree(value, depth - 1) for value in tree)
    return tree is None or isinstance(tree, bool | int | float | str)
