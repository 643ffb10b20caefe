"""The name of a run: its own choices, so that the same command finds the same folder again."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

# Settings that leave the experiment the same: changing one resumes the run instead of starting another.
SAME_EXPERIMENT = (
    "train.max_steps", "train.log_every", "train.save_every", "train.keep", "train.keep_every", "train.preview",
    "train/preview", "sampler", "logger", "device", "runs", "name", "data.workers", "data.download",
    "data.images.workers", "data.images.download", "hydra",
)  # fmt: skip
# Settings that make another experiment, but that a run may also change half-way if it is told so under its old name.
HALF_WAY = ("train.optimizer.lr", "train.anneal_steps", "train.clip_grad_norm", "data.root", "data.images.root")
LONGEST = 100


def same_experiment(key: str) -> bool:
    """True if `key` does not belong in a run's name."""
    return any(key == kept or key.startswith((f"{kept}.", f"{kept}/")) for kept in SAME_EXPERIMENT)


def may_change(key: str) -> bool:
    """True if `key` may differ between a run and its resumption."""
    return same_experiment(key) or key in HALF_WAY


def name_of(overrides: Iterable[str]) -> str:
    """A folder name made of the overrides that make the experiment; "default" when there are none.

    model.heads=2 and data.root=/a/b become model.heads-2+data.root-a-b, which Hydra takes unquoted in checkpoint=...
    """
    chosen = sorted(o.lstrip("+~") for o in overrides if not same_experiment(o.lstrip("+~").split("=")[0]))
    return shortened("+".join(plain(o) for o in chosen)) or "default"


def plain(text: str) -> str:
    """`text` in letters, digits, dots, underscores and hyphens."""
    return re.sub(r"[^\w.]+", "-", text).strip("-")


def shortened(name: str) -> str:
    """`name`, or its beginning and a hash of the whole when it is long."""
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def sweep_of(command: Iterable[str]) -> str | None:
    """The name that the runs of one sweep share; None for a command without --multirun."""
    words = list(command)
    if not {"-m", "--multirun"} & set(words):
        return None
    return shortened("sweep+" + "+".join(plain(word) for word in words if "=" in word and not word.startswith("hydra")))


def holding(checkpoint: Path) -> Path:
    """The run folder of a checkpoint: itself, the one around its file, or the file's own folder if it is in no run."""
    if checkpoint.is_dir():
        return checkpoint
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def argument(key: str, value: object) -> str:
    """key=value as a shell and Hydra take it, quoted for both where it must be."""
    text = str(value)
    if re.fullmatch(r"[\w./+@%-]+", text, re.ASCII):
        return f"{key}={text}"
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return shlex.quote(f"{key}='{escaped}'")
