"""The name of a run: its own choices, so that the same command finds the same folder again."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

# Settings that leave the experiment the same: changing one resumes the run instead of starting another.
SAME_EXPERIMENT = (
    "train.max_steps", "train.log_every", "train.save_every", "train.keep", "train.keep_every", "train.preview",
    "train.evaluations", "train.evaluate_every", "train.microbatch", "train.parallel", "train.compile",
    "train.detect_anomaly", "model.checkpoint", "sampler", "logger", "device", "runs", "name", "objective",
    "hydra", "trust",
)  # fmt: skip
# Settings that make another experiment, but that a run may also change half-way if it is told so under its old name.
HALF_WAY = ("train.optimizer.lr", "train.anneal_steps", "train.clip_grad_norm")
LONGEST = 100


def same_experiment(key: str, also: Collection[str] = ()) -> bool:
    """True if `key`, or the group of that name, does not belong in a run's name; `also` adds settings of that kind."""
    dotted = key.replace("/", ".")
    return any(dotted == kept or dotted.startswith(f"{kept}.") for kept in (*SAME_EXPERIMENT, *also))


def may_change(key: str, also: Collection[str] = ()) -> bool:
    """True if `key` may differ between a run and its resumption; `also` adds settings of that kind."""
    return same_experiment(key, also) or key in HALF_WAY


def run_name(overrides: Iterable[str], also: Collection[str] = ()) -> str:
    """A folder name made of the overrides that make the experiment; "default" when there are none.

    model.heads=2 and data.root=/a/b become data.root-a-b-9f02cbd2+model.heads-2, which Hydra takes unquoted in
    checkpoint=... `also` adds settings that make no other experiment.
    """
    chosen = sorted(o.lstrip("+~") for o in overrides if not same_experiment(o.lstrip("+~").split("=")[0], also))
    return shorten("+".join(slugify(o) for o in chosen)) or "default"


def slugify(override: str) -> str:
    """key=value in ASCII letters, digits, dots, underscores and hyphens, with a hash where the value was another text.

    Words, numbers and lists of numbers can be read back without one: [8,4] becomes 8-4.
    """
    key, _, value = override.partition("=")
    text = re.sub(r"[^\w.]+", "-", f"{key}-{value}", flags=re.ASCII).strip("-")
    readable = re.fullmatch(r"\w[\w.]*(-[\w.]+)*|\[?[\d.]+(,[\d.]+)*]?|", value, re.ASCII)
    return text if readable else f"{text}-{short_hash(override)}"


def shorten(name: str) -> str:
    """`name`, or its beginning and a hash of the whole when it is long."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{short_hash(name)}"


def short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def check_name(name: str) -> None:
    """Raise ValueError unless `name` is that of a folder below the runs folder."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or not set(parts) - {"", "."}:
        raise ValueError(
            f"name={name} is no folder below the runs folder; set name=my_run, or runs=... to keep runs elsewhere"
        )


def sweep_name(command: Iterable[str], also: Collection[str] = ()) -> str:
    """The name that the runs of one sweep share, made of what makes the experiments, as for `run_name`."""
    words = [word.lstrip("+~") for word in command if "=" in word and not word.startswith("-")]
    chosen = [slugify(word) for word in words if not same_experiment(word.split("=")[0], also)]
    return shorten("+".join(["sweep", *chosen]))


def run_folder_of(checkpoint: Path) -> Path:
    """The run folder of a checkpoint: itself, the one around its file, or the file's own folder if it is in no run."""
    if checkpoint.is_dir():
        return checkpoint
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def shell_override(key: str, value: object) -> str:
    """key=value as a shell and Hydra take it, quoted for both where it must be."""
    text = str(value)
    if re.fullmatch(r"[\w./+@%-]+", text, re.ASCII):
        return f"{key}={text}"
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return shlex.quote(f"{key}='{escaped}'")


def check_resumable(old: dict[str, Any], new: dict[str, Any], also: Collection[str] = ()) -> list[str]:
    """What changed, as `list_changes` tells it; ValueError if a setting among it makes it another experiment.

    `also` adds settings that may change.
    """
    before, after = flatten(old), flatten(new)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    refused = [key for key in changed if not may_change(key, also)]
    if refused:
        raise ValueError(
            "this run folder holds another experiment ("
            + "; ".join(f"{key}: {before.get(key)} -> {after.get(key)}" for key in refused)
            + "); take the old settings back, or give the new run another name=..."
        )
    return list_changes(old, new)


def list_changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ, as "key: old -> new"; of a group that only one of the two has, its name alone."""
    told = []
    for name in sorted(old.keys() | new.keys(), key=str):
        key, before, after = f"{prefix}{name}", old.get(name), new.get(name)
        before = {} if before is None and holds_groups(after) else before
        after = {} if after is None and holds_groups(before) else after
        if isinstance(before, dict) and isinstance(after, dict):
            told += list_changes(before, after, f"{key}.")
        elif before is None and isinstance(after, dict):
            told.append(f"{key}: added")
        elif after is None and isinstance(before, dict):
            told.append(f"{key}: removed")
        elif before != after:
            told.append(f"{key}: {before} -> {after}")
    return told


def holds_groups(node: Any) -> bool:
    """True of what is only a place for groups, as train.evaluations is."""
    return isinstance(node, dict) and all(isinstance(child, dict) for child in node.values())


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(node, dict):
        return {prefix: node}
    return {
        key: value
        for name, child in node.items()
        for key, value in flatten(child, f"{prefix}.{name}" if prefix else str(name)).items()
    }
