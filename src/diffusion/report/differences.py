"""In what runs differ: the settings to tell them apart by, and which differ by their seed only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from diffusion.report.runs import RunRecord, single_line
from diffusion.runs.resuming import flatten, same_experiment

# Follow from other settings, and would only say them twice.
DERIVED = (
    "shape", "classes", "model.image_size", "model.in_channels", "model.out_channels", "train.schedule_sampler.steps",
)  # fmt: skip
NONE = "–"
TAKEN = ("run", "state", "steps", "loss", "time")


class Group(NamedTuple):
    """Runs that differ by their seed only, and what distinguishes them from the others."""

    label: str
    runs: list[RunRecord]

    def label_of(self, run: RunRecord) -> str:
        """The label, with the seed where it takes that to tell the run from others."""
        return f"{self.label} · seed {settings(run).get('seed')}" if len(self.runs) > 1 else self.label


def settings(run: RunRecord) -> dict[str, str]:
    """The settings as text, a class by its name: {"diffusion.schedule": "Cosine", "train.optimizer.lr": "0.001"}."""
    found = {}
    for key, value in flatten(run.config).items():
        if key.endswith("._target_"):
            found[key.removesuffix("._target_")] = single_line(str(value).rpartition(".")[2])
        elif key and not key.endswith("._partial_") and not key.startswith("provenance"):
            found[key] = visible_settings(value)
    return found


def visible_settings(value: Any) -> str:
    """As one types it: null, true, [8,4], 0.001."""
    if isinstance(value, list):
        return f"[{','.join(visible_settings(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return single_line(str(value))


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """The settings, in their order, that make an experiment and are `unlike` in the runs."""
    return [key for key in unlike(runs) if is_telling(key)]


def unlike(runs: Sequence[RunRecord]) -> list[str]:
    """All settings, in their order, that are not the same in all runs that have them.

    What only some have came with a class that the others lack, or with other code. A run that failed before it began
    may hold interpolations, and "???" for what the data would have told, which say nothing.
    """
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in settings(run).items():
            values.setdefault(key, set()).update(set() if "${" in value or value == "???" else {value})
    return [key for key, known in values.items() if len(known) > 1]


def is_telling(key: str) -> bool:
    return key not in DERIVED and (key == "train.max_steps" or not same_experiment(key))


def short(keys: Sequence[str]) -> dict[str, str]:
    """Each key by its last words, as few as tell it from the others and from what the table tells of any run."""
    names = {key: key.split(".")[-1] for key in keys}
    for length in range(2, 8):
        count = Counter([*names.values(), *TAKEN])
        names = {key: name if count[name] == 1 else ".".join(key.split(".")[-length:]) for key, name in names.items()}
    return names


def groups(runs: Sequence[RunRecord]) -> list[Group]:
    """The runs by all that differs but the seed; each by itself and by its name where nothing else tells them apart."""
    keys = [key for key in differing(runs) if key != "seed"]
    names, found = short(keys), dict[tuple[str, ...], list[RunRecord]]()
    for run in runs:
        own = settings(run)
        found.setdefault(tuple(own.get(key, NONE) for key in keys), []).append(run)
    made = []
    for values, members in found.items():
        seeds = [settings(run).get("seed") for run in members]
        label = " · ".join(f"{names[key]} {value}" for key, value in zip(keys, values, strict=True) if value != NONE)
        if len(members) > 1 and (None in seeds or len(set(seeds)) < len(seeds)):
            made += [Group(name, [run]) for name, run in zip(short_names(members), members, strict=True)]
        else:
            made.append(Group(label or (short_names(members)[0] if len(members) == 1 else "all runs"), members))
    return made


def short_names(runs: Sequence[RunRecord]) -> list[str]:
    """The folders' names without what all that are composed of parts, as in a+b, have in common."""
    parts = [run.folder.resolve().name.split("+") for run in runs]
    composed = [set(own) for own in parts if len(own) > 1]
    shared = set.intersection(*composed) if len(composed) > 1 else set()
    left = ["+".join(part for part in own if part not in shared) for own in parts]
    return left if all(left) and len(set(left)) == len(left) else [str(run.folder) for run in runs]
