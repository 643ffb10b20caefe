"""The settings in which runs differ, and the groups of runs that differ by their seed only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from diffusion.report.runs import RunRecord
from diffusion.runs.printable import single_line
from diffusion.runs.resuming import flatten, same_experiment

# These follow from other settings.
DERIVED = (
    "shape", "classes", "model.image_size", "model.in_channels", "model.out_channels", "train.schedule_sampler.steps",
    "provenance",
)  # fmt: skip
HOW_READ = {"workers", "cache", "on_error", "download"}  # of the usual sets: how images are read, not which
NONE = "–"
TABLE_HEADS = ("run", "state", "steps", "loss", "time", "settings")
MANY = 6  # settings that differ: beyond, what most runs have goes without saying


class Group(NamedTuple):
    """Runs that differ by their seed only, and what distinguishes them from the others."""

    label: str
    runs: list[RunRecord]

    def label_of(self, run: RunRecord) -> str:
        """The label, with the seed if the group has several runs."""
        return f"{self.label} · seed {settings(run).get('seed')}" if len(self.runs) > 1 else self.label


def settings(run: RunRecord) -> dict[str, str]:
    """The settings as text, a class by its name: {"diffusion.schedule": "Cosine", "train.optimizer.lr": "0.001"}."""
    found = {}
    for key, value in flatten(run.config).items():
        key = single_line(key)
        if key.endswith("._target_"):
            found[key.removesuffix("._target_")] = single_line(str(value).rpartition(".")[2])
        elif key and not key.endswith("._partial_"):
            found[key] = typed_value(value)
    return found


def typed_value(value: Any) -> str:
    """A value as one types it: null, true, [8,4], 0.001."""
    if isinstance(value, list):
        return f"[{','.join(typed_value(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return single_line(str(value))


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """The settings of an experiment, in their order, that are `unlike` in the runs; of many, not what follows."""
    keys = [key for key in unlike(runs) if key == "train.max_steps" or not same_experiment(key, DERIVED)]
    return keys if len(keys) <= MANY else [key for key in keys if not comes_with_class(key, runs)]


def comes_with_class(key: str, runs: Sequence[RunRecord]) -> bool:
    """Whether a number or a word differs with the class alone that it is an argument of, as an end of a schedule may.

    A class that is an argument of another, such as the schedule itself, is always a choice.
    """
    owner, values = key.rpartition(".")[0], dict[str, set[str]]()
    for run in runs:
        if f"{key}._target_" in flatten(run.config):
            return False
        found = settings(run)
        values.setdefault(found.get(owner, NONE), set()).add(found.get(key, NONE))
    return len(values) > 1 and all(len(known) == 1 for known in values.values())


def unlike(runs: Sequence[RunRecord]) -> list[str]:
    """All settings, in their order, that are not the same in all runs that have them, but for how images are read.

    What only some have came with a class that the others lack, or with other code. A run that failed before it began
    may hold interpolations, and "???" for facts of the data: these are not compared.
    """
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in settings(run).items():
            values.setdefault(key, set()).update(set() if "${" in value or value == "???" else {value})
    return [key for key, known in values.items() if len(known) > 1 and key.rpartition(".")[2] not in HOW_READ]


def usual(runs: Sequence[RunRecord], keys: Sequence[str]) -> dict[str, str]:
    """Of many settings, the values that more than half of the runs have, by key; {} of few. The seed goes unsaid."""
    counts = {
        key: Counter(settings(run).get(key, NONE) for run in runs).most_common(1)[0] for key in keys if key != "seed"
    }
    return {key: value for key, (value, n) in counts.items() if 2 * n > len(runs)} if len(keys) > MANY else {}


def in_words(values: Mapping[str, str], keys: Sequence[str], without: Mapping[str, str]) -> str:
    """The values of these settings but for those that are as in `without`: "lr 0.001 · schedule Cosine"."""
    names = short(keys)
    told = {key: values.get(key, NONE) for key in keys}
    return " · ".join(f"{names[key]} {told[key]}" for key in keys if told[key] not in (NONE, without.get(key)))


def short(keys: Sequence[str]) -> dict[str, str]:
    """Each key by its last words, as few as distinguish it from the others and from the table's other heads."""
    names = {key: key.split(".")[-1] for key in keys}
    for length in range(2, 8):
        count = Counter([*names.values(), *TABLE_HEADS])
        names = {key: name if count[name] == 1 else ".".join(key.split(".")[-length:]) for key, name in names.items()}
    return names


def groups(runs: Sequence[RunRecord]) -> list[Group]:
    """The runs grouped by all that differs but the seed; a run that nothing else distinguishes alone, by its name.

    Where many settings differ, a group is called by what the names of its runs share, if that is its own.
    """
    keys = [key for key in differing(runs) if key != "seed"]
    common, found = usual(runs, keys), dict[tuple[str, ...], list[RunRecord]]()
    names = {run.folder: name for run, name in zip(runs, short_names(runs), strict=True)}
    for run in runs:
        found.setdefault(tuple(settings(run).get(key, NONE) for key in keys), []).append(run)
    shared = {values: shared_name([names[run.folder] for run in members]) for values, members in found.items()}
    count = Counter(shared.values())
    result = []
    for values, members in found.items():
        seeds = {settings(run).get("seed") for run in members}
        label = shared[values] if len(keys) > MANY and count[shared[values]] == 1 else ""
        label = label or in_words(dict(zip(keys, values, strict=True)), keys, common)
        label = label or ("usual settings" if common and set(values) != {NONE} else "")
        if len(members) > 1 and (None in seeds or len(seeds) < len(members)):
            result += [Group(names[run.folder], [run]) for run in members]
        else:
            result.append(Group(label or (names[members[0].folder] if len(members) == 1 else "all runs"), members))
    return result


def shared_name(names: Sequence[str]) -> str:
    """The parts, as in a+b, that all names have; "" without any."""
    first, *others = [name.split("+") for name in names]
    return "+".join(part for part in first if all(part in other for other in others))


def short_names(runs: Sequence[RunRecord]) -> list[str]:
    """The folders' names without the parts, as in a+b, that the composed names share: nearly all of them, or else all.

    Where that, or the names alone, do not tell the runs apart, their paths.
    """
    parts = [run.folder.resolve().name.split("+") for run in runs]
    counts = Counter(part for own in parts if len(own) > 1 for part in {*own})
    composed = sum(len(own) > 1 for own in parts)
    for least in (0.75 * composed, composed - 1, composed):
        shared = {part for part, n in counts.items() if n > max(least, 1)}
        left = [single_line("+".join(part for part in own if part not in shared)) for own in parts]
        if all(left) and len(set(left)) == len(left):
            return left
    return [single_line(str(run.folder)) for run in runs]
