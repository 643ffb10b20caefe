"""What a run folder holds: its settings, what it logged, what was measured on it, and how it ended.

A report is also about runs that crashed, so a file that is torn, garbage or missing costs its own part only.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from diffusion.runs.metric_direction import aside, lower_is_better
from diffusion.runs.resuming import flatten


class Point(NamedTuple):
    """One number of a run: `name` after `images` images, measured under `setting` ("" is while training)."""

    name: str
    setting: str
    step: int
    images: float
    value: float


class RunRecord(NamedTuple):
    """A run folder. `logged` are the lines of training by step, `measured` the numbers that tell its quality."""

    folder: Path
    config: dict[str, Any]
    outcome: dict[str, Any]
    logged: list[dict[str, float]]
    measured: list[Point]

    @property
    def step(self) -> int:
        """The last step that is known of."""
        told = self.outcome.get("step")
        last = int(self.logged[-1]["step"]) if self.logged else 0
        return max(last, told) if isinstance(told, int) else last

    @property
    def state(self) -> str:
        """finished, running, stopped or failed, as the run told; unfinished if it told nothing and lacks steps."""
        if told := single_line(str(self.outcome.get("state") or "")):
            return told
        planned = flatten(self.config).get("train.max_steps")
        return "finished" if isinstance(planned, int) and 0 < planned <= self.step else "unfinished"

    @property
    def message(self) -> str:
        return single_line(str(self.outcome.get("message") or ""))

    @property
    def seconds(self) -> float:
        """The time spent training: images over images/s, summed over the logged lines; pictures are not counted."""
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

    Raises ValueError for a path that is no folder, or of which that cannot be told.
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
    """The runs in `folder` and what is none, by name; a folder without any run is named instead of all within it.

    One that cannot be read is as one without.
    """
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
    """ValueError if that cannot be told, as of a path in a folder that may not be entered."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; give folders that can") from None


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`, as far as its files can be read."""
    lines = list(json_lines(folder / "metrics.jsonl"))
    logged = rows_by_step(line for line in lines if "loss" in line)
    measured = [
        Point(name, "", int(line["step"]), line.get("images", line["step"]), value)
        for line in rows_by_step(line for line in lines if "loss" not in line)
        for name, value in line.items()
        if name not in ("step", "images") and not aside(name)
    ]
    per_step = logged[-1].get("images", 0.0) / max(logged[-1]["step"], 1) if logged else 1.0
    return RunRecord(
        folder,
        mapping(folder / "config.yaml"),
        mapping(folder / "outcome.json"),
        logged,
        measured + list(unknown_runs(evaluated(folder / "evaluation", per_step), measured)),
    )


def unknown_runs(points: Iterator[Point], told: Sequence[Point]) -> Iterator[Point]:
    """The points of each result but those that training has `told`: what it measures leaves a result, too."""
    names, left = {(point.name, point.step) for point in told}, [place_of(point) for point in told]
    for _, found in groupby(points, lambda point: (point.setting, point.step)):
        result = list(found)
        shared = [place_of(point) for point in result if (point.name, point.step) in names]
        if shared and all(place in left for place in shared):
            left = [place for place in left if place not in shared]
        else:
            yield from result


def place_of(point: Point) -> tuple[str, int, str]:
    """What two points share that are one: name, step and value, the last as text, as NaN is not even itself."""
    return point.name, point.step, repr(point.value)


def evaluated(folder: Path, images_per_step: float) -> Iterator[Point]:
    """What evaluate.py found, a point a number; the setting is the evaluation's folder without the step."""
    for path in sorted(folder.glob("*/result.json")):
        result = mapping(path)
        step = result.get("step")
        if isinstance(step, int):
            setting = path.parent.name.removesuffix(f"_step_{step}")
            for name, value in numbers(result).items():
                # The rest of a result are its circumstances: numbers of images, standard errors and the like.
                if lower_is_better(name) is not None:
                    yield Point(name, setting, step, step * images_per_step, value)


def mapping(path: Path) -> dict[str, Any]:
    """A YAML or JSON file of names and values; an empty one if it is missing or holds anything else."""
    with suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
        text = path.read_text(errors="replace")
        held = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=LOADER)
        return held if isinstance(held, dict) else {}
    return {}


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times as fast


def json_lines(path: Path) -> Iterator[dict[str, float]]:
    """The numbers of each line that can be read and names its step."""
    with suppress(OSError):
        for text in path.read_text(errors="replace").splitlines():
            with suppress(ValueError, RecursionError):
                held = json.loads(text)
                if isinstance(held, dict) and isfinite(numbers(held).get("step", float("nan"))):
                    yield numbers(held)


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """The entries of `values` that are numbers."""
    kept = {}
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):
                kept[str(name)] = float(value)
    return kept


def rows_by_step(lines: Iterator[dict[str, float]]) -> list[dict[str, float]]:
    """One line a step, ascending; of two values for the same, the later."""
    merged: dict[float, dict[str, float]] = {}
    for line in lines:
        merged.setdefault(line["step"], {}).update(line)
    return [merged[step] for step in sorted(merged)]


def single_line(text: str) -> str:
    """`text` without line breaks, and without what a terminal would obey or could not print."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
