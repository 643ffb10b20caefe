"""What a run folder holds: its settings, what it logged, what was measured on it, and how it ended.

A report is also about runs that crashed, so a file that is torn, garbage or missing leaves out its own part only.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import isfinite, nan
from pathlib import Path
from typing import Any, NamedTuple

from diffusion.runs.files import read_plain
from diffusion.runs.metric_direction import aside, lower_is_better
from diffusion.runs.metrics import MetricsFile
from diffusion.runs.resuming import flatten
from diffusion.runs.status import read_status

Measure = tuple[str, str]  # the name of a number, and the setting that it was measured under: "" is while training
Points = list[tuple[float, float]]  # (images seen, value)


class RunRecord(NamedTuple):
    """A run folder: `outcome` is its status, `logged` its training rows by step, `measured` its measures of quality."""

    folder: Path
    config: dict[str, Any]
    outcome: dict[str, Any]
    logged: list[dict[str, float]]
    measured: dict[Measure, Points]

    def series(self, measure: Measure) -> Points:
        """A number of the run, by images."""
        name, setting = measure
        rows = [row for row in self.logged if not setting and name in row]
        points = [*self.measured.get(measure, []), *((row.get("images", row["step"]), row[name]) for row in rows)]
        return sorted(points, key=lambda point: point[0])

    @property
    def step(self) -> int:
        """The last step that is known of."""
        saved, logged = self.outcome.get("step"), int(self.logged[-1]["step"]) if self.logged else 0
        return max(logged, saved) if isinstance(saved, int) else logged

    @property
    def state(self) -> str:
        """finished, running, stopped or failed, as outcome.json says; without it, by the steps, maybe unfinished."""
        if state := single_line(str(self.outcome.get("state") or "")):
            return state
        planned = flatten(self.config).get("train.max_steps")
        return "finished" if isinstance(planned, int) and 0 < planned <= self.step else "unfinished"

    @property
    def message(self) -> str:
        return single_line(str(self.outcome.get("message") or ""))

    @property
    def seconds(self) -> float:
        """The time spent training: images over images/s, summed over the logged rows; pictures are not counted."""
        spent, before = 0.0, 0.0
        for row in self.logged:
            images, speed = row.get("images", before), row.get("images_per_second", 0.0)
            if isfinite(speed) and speed > 0:
                spent += max(images - before, 0.0) / speed
            before = images
        return spent


def is_run(folder: Path) -> bool:
    """True of a folder that train.py wrote to, also if it failed before the first step."""
    configured = (folder / "config.yaml").is_file() and (folder / "checkpoints").is_dir()
    return configured or (folder / "metrics.jsonl").is_file() or (folder / "outcome.json").is_file()


def find_runs(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The run folders at and below `paths`, each once, and the topmost folders that hold none.

    Raises ValueError for a path that is no folder, or cannot be looked at.
    """
    runs: dict[Path, Path] = {}
    skipped: list[Path] = []
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            is_folder = False
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}; give folders that can") from None
        if not is_folder:
            raise ValueError(f"{path} is no folder; give run folders or folders of them, such as runs/")
        inner, empty = below(path)
        runs |= {run.resolve(): run for run in inner if run.resolve() not in runs}
        skipped += empty
    return list(runs.values()), skipped


def below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The runs in `folder` by name, and the topmost folders in it that hold none or cannot be read."""
    try:
        if is_run(folder):
            return [folder], []
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return [], [folder]
    children = [below(folder / name) for name in names if not name.startswith(".")]
    runs = [run for inner, _ in children for run in inner]
    return (runs, [other for _, skipped in children for other in skipped]) if runs else ([], [folder])


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`, as far as its files can be read."""
    rows: list[dict[str, float]] = []
    with suppress(OSError):
        rows = [numbers(row) for row in MetricsFile.read(folder / "metrics.jsonl")]
    rows = [row for row in rows if isfinite(row.get("step", nan))]
    logged = rows_by_step(row for row in rows if "loss" in row)
    quality = rows_by_step(row for row in rows if "loss" not in row)
    measured: dict[Measure, Points] = {}
    for row in quality:
        for name in row:
            if name not in ("step", "images") and not aside(name):
                measured.setdefault((name, ""), []).append((row.get("images", row["step"]), row[name]))
    per_step = logged[-1].get("images", 0.0) / max(logged[-1]["step"], 1) if logged else 1.0
    for setting, step, found in evaluations(folder / "evaluation", quality):
        for name, value in found.items():
            measured.setdefault((name, setting), []).append((step * per_step, value))
    return RunRecord(folder, read_plain(folder / "config.yaml", dict), read_status(folder), logged, measured)


def evaluations(folder: Path, in_training: Sequence[dict[str, float]]) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Setting, step and numbers of each result.json but those that training logged, which leaves them there, too.

    The setting is the evaluation's folder without the step.
    """
    # Values as text, since NaN is not NaN.
    logged = {(name, row["step"]): repr(value) for row in in_training for name, value in row.items()}
    for path in sorted(folder.glob("*/result.json")):
        result = read_plain(path, dict)
        if not isinstance(step := result.get("step"), int):
            continue
        # The rest of a result are its circumstances: numbers of images, standard errors and the like.
        found = {name: value for name, value in numbers(result).items() if lower_is_better(name) is not None}
        shared = [name for name in found if (name, step) in logged]
        if shared and all(logged[name, step] == repr(found[name]) for name in shared):
            for name in shared:
                del logged[name, step]
        else:
            yield path.parent.name.removesuffix(f"_step_{step}"), step, found


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """The entries of `values` that are numbers."""
    found = {}
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):
                found[str(name)] = float(value)
    return found


def rows_by_step(rows: Iterable[dict[str, float]]) -> list[dict[str, float]]:
    """One row a step, ascending; of two values for the same, the later."""
    merged: dict[float, dict[str, float]] = {}
    for row in rows:
        merged.setdefault(row["step"], {}).update(row)
    return [merged[step] for step in sorted(merged)]


def single_line(text: str) -> str:
    """`text` in one line of printable characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
