"""What a run folder holds: its settings, what it logged, what was measured on it, and how it ended.

A report is also about runs that crashed, so a file that is torn, garbage or missing leaves out its own part only.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from diffusion.runs.metric_direction import aside, lower_is_better
from diffusion.runs.metrics import MetricsFile
from diffusion.runs.resuming import flatten
from diffusion.runs.status import read_status


class Point(NamedTuple):
    """One number of a run: `name` after `images` images, measured under `setting` ("" is while training)."""

    name: str
    setting: str
    step: int
    images: float
    value: float


class RunRecord(NamedTuple):
    """A run folder: `outcome` is its status, `logged` its training rows by step, `measured` its points of quality."""

    folder: Path
    config: dict[str, Any]
    outcome: dict[str, Any]
    logged: list[dict[str, float]]
    measured: list[Point]

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
        for line in self.logged:
            images, speed = line.get("images", before), line.get("images_per_second", 0.0)
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
        if not is_folder(path):
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


def is_folder(path: Path) -> bool:
    """ValueError if it cannot be looked at, as in a folder that may not be entered."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; give folders that can") from None


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`, as far as its files can be read."""
    rows: list[dict[str, float]] = []
    with suppress(OSError):
        rows = [numbers(row) for row in MetricsFile.read(folder / "metrics.jsonl")]
    rows = [row for row in rows if isfinite(row.get("step", float("nan")))]
    logged = rows_by_step(row for row in rows if "loss" in row)
    measured = [
        Point(name, "", int(row["step"]), row.get("images", row["step"]), value)
        for row in rows_by_step(row for row in rows if "loss" not in row)
        for name, value in row.items()
        if name not in ("step", "images") and not aside(name)
    ]
    per_step = logged[-1].get("images", 0.0) / max(logged[-1]["step"], 1) if logged else 1.0
    measured += evaluation_points(folder / "evaluation", per_step, measured)
    return RunRecord(folder, mapping(folder / "config.yaml"), read_status(folder), logged, measured)


def evaluation_points(folder: Path, images_per_step: float, in_training: Sequence[Point]) -> Iterator[Point]:
    """The numbers of each result.json but those that training logged, which leaves its results there, too.

    The setting of a point is the evaluation's folder without the step.
    """
    names = {(point.name, point.step) for point in in_training}
    logged = [place_of(point) for point in in_training]
    for path in sorted(folder.glob("*/result.json")):
        result = mapping(path)
        if isinstance(step := result.get("step"), int):
            setting = path.parent.name.removesuffix(f"_step_{step}")
            # The rest of a result are its circumstances: numbers of images, standard errors and the like.
            found = {name: value for name, value in numbers(result).items() if lower_is_better(name) is not None}
            points = [Point(name, setting, step, step * images_per_step, value) for name, value in found.items()]
            shared = [place_of(point) for point in points if (point.name, point.step) in names]
            if shared and all(place in logged for place in shared):
                logged = [place for place in logged if place not in shared]
            else:
                yield from points


def place_of(point: Point) -> tuple[str, int, str]:
    """Name, step and value, which two points of one measurement share; the value as text, since NaN is not NaN."""
    return point.name, point.step, repr(point.value)


def mapping(path: Path) -> dict[str, Any]:
    """The dictionary in a YAML or JSON file; an empty one if there is none, or anything else."""
    with suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
        text = path.read_text(errors="replace")
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=LOADER)
        return content if isinstance(content, dict) else {}
    return {}


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times as fast


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
