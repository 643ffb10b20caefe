"""Which settings may change when a run goes on in its folder, and what changed."""

from collections.abc import Collection
from typing import Any

# Settings that leave the experiment the same: changing one resumes the run instead of starting another.
SAME_EXPERIMENT = (
    "train.max_steps", "train.log_every", "train.save_every", "train.keep", "train.keep_every", "train.preview",
    "train.snapshot_every",
    "train.evaluations", "train.evaluate_every", "train.microbatch", "train.parallel", "train.compile",
    "train.detect_anomaly", "model.checkpoint", "sampler", "logger", "device", "runs", "name", "objective",
    "hydra", "trust", "guidance",
)  # fmt: skip
# Settings that make another experiment, but that a run of an explicit name may also change half-way.
HALF_WAY = (
    "train.optimizer.lr", "train.anneal_steps", "train.decay_steps", "train.clip_grad_norm", "train.ema_ramp",
    "train.ema_power",
)  # fmt: skip


def same_experiment(key: str, also: Collection[str] = ()) -> bool:
    """True if changing the setting or group `key`, or those in `also`, leaves the experiment and its name the same.

    Of group@package, such as logger@logger.second, the package says what changes.
    """
    dotted = key.rpartition("@")[2].replace("/", ".")
    return any(dotted == same or dotted.startswith(f"{same}.") for same in (*SAME_EXPERIMENT, *also))


def may_change(key: str, also: Collection[str] = ()) -> bool:
    """True if `key` may differ between a run and its resumption."""
    return same_experiment(key, also) or key in HALF_WAY


def check_resumable(old: dict[str, Any], new: dict[str, Any], also: Collection[str] = ()) -> list[str]:
    """The settings that differ, as `change` tells them; ValueError if one of them makes another experiment."""
    before, after = flatten(old), flatten(new)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    if refused := [key for key in changed if not may_change(key, also)]:
        raise ValueError(
            "this run folder holds another experiment ("
            + "; ".join(f"{key}: {before.get(key)} -> {after.get(key)}" for key in refused)
            + "); take the old settings back, or give the new run another name=..."
        )
    return list(dict.fromkeys(change(key, before, after) for key in changed))


def change(key: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    """ "key: old -> new"; of a group, such as train.evaluations.quality, that only one of the two has, its name."""
    words = key.split(".")
    for group in (".".join(words[:size]) for size in (1, 3) if len(words) > size):
        for settings, what in ((before, "added"), (after, "removed")):
            if not any(same.startswith(f"{group}.") for same in settings):
                return f"{group}: {what}"
    return f"{key}: {before.get(key)} -> {after.get(key)}"


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(node, dict):
        return {prefix: node}
    return {
        key: value
        for name, child in node.items()
        for key, value in flatten(child, f"{prefix}.{name}" if prefix else str(name)).items()
    }
