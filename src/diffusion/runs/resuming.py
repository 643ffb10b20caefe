"""Which settings may change when a run goes on in its folder, and what changed."""

from collections.abc import Collection
from typing import Any

# Settings that leave the experiment the same: changing one resumes the run instead of starting another.
SAME_EXPERIMENT = (
    "train.max_steps", "train.log_every", "train.save_every", "train.keep", "train.keep_every", "train.preview",
    "train.evaluations", "train.evaluate_every", "train.microbatch", "train.parallel", "train.compile",
    "train.detect_anomaly", "model.checkpoint", "sampler", "logger", "device", "runs", "name", "objective",
    "hydra", "trust", "guidance",
)  # fmt: skip
# Settings that make another experiment, but that a run of an explicit name may also change half-way.
HALF_WAY = ("train.optimizer.lr", "train.anneal_steps", "train.clip_grad_norm")


def same_experiment(key: str, also: Collection[str] = ()) -> bool:
    """True if changing the setting or group `key`, or those in `also`, leaves the experiment and its name the same."""
    dotted = key.replace("/", ".")
    return any(dotted == same or dotted.startswith(f"{same}.") for same in (*SAME_EXPERIMENT, *also))


def may_change(key: str, also: Collection[str] = ()) -> bool:
    """True if `key` may differ between a run and its resumption."""
    return same_experiment(key, also) or key in HALF_WAY


def check_resumable(old: dict[str, Any], new: dict[str, Any], also: Collection[str] = ()) -> list[str]:
    """The changes, as `list_changes` lists them; ValueError if one of them makes another experiment."""
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
    changes = []
    for name in sorted(old.keys() | new.keys(), key=str):
        key, before, after = f"{prefix}{name}", old.get(name), new.get(name)
        before = {} if before is None and holds_groups(after) else before
        after = {} if after is None and holds_groups(before) else after
        if isinstance(before, dict) and isinstance(after, dict):
            changes += list_changes(before, after, f"{key}.")
        elif before is None and isinstance(after, dict):
            changes.append(f"{key}: added")
        elif after is None and isinstance(before, dict):
            changes.append(f"{key}: removed")
        elif before != after:
            changes.append(f"{key}: {before} -> {after}")
    return changes


def holds_groups(node: Any) -> bool:
    """True of a node whose children are all groups, such as train.evaluations."""
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
