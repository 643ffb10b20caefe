"""What a run folder holds: its settings, what it logged, what was measured on it, and how it ended.

A report is also about runs that crashed, so a file that is torn, garbage or missing leaves out its own part only.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import isfinite, nan
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from diffusion.runs.metrics import MetricsFile, aside, lower_is_better, numbers
from diffusion.runs.printable import single_line
from diffusion.runs.small_files import load_plain
from diffusion.runs.state import MOST_STEPS
from diffusion.runs.status import STATUS_FILE

T = TypeVar("T")
log = logging.getLogger(__name__)

REAL = "real_"  # begins the name of what real images come to

Measure = tuple[str, str]  # the name of a number, and the setting that it was measured under: "" is while training
Points = list[tuple[float, float]]  # (images seen, value)


class RunRecord(NamedTuple):
    """A run folder: `outcome` is its status, `logged` its training rows by step, `measured` its measures of quality.

    `real` are the values of those measures for real images in place of drawn ones, as far as they were measured.
    `start` says where the run comes from: the last entry of its provenance.json.
    """

    folder: Path
    config: dict[str, Any]
    outcome: dict[str, Any]
    logged: list[dict[str, float]]
    measured: dict[Measure, Points]
    start: Mapping[str, Any] = MappingProxyType({})
    real: Mapping[Measure, float] = MappingProxyType({})

    def series(self, measure: Measure) -> Points:
        """A number of the run, by images."""
        name, setting = measure
        rows = [row for row in self.logged if not setting and name in row]
        points = [*self.measured.get(measure, []), *((row.get("images", row["step"]), row[name]) for row in rows)]
        return sorted(points, key=lambda point: point[0])

    @property
    def step(self) -> int:
        """The last step that is known of."""
        saved, logged = numbers(self.outcome).get("step", 0), self.logged[-1]["step"] if self.logged else 0
        return int(max(saved if 0 <= saved < MOST_STEPS else 0, logged))

    @property
    def state(self) -> str:
        """running, finished, stopped or failed, as outcome.json says; unfinished without it."""
        return single_line(str(self.outcome.get("state") or "")) or "unfinished"

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


def find_runs(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The run folders at and below `paths`, each once, and the topmost folders that hold none.

    Raises ValueError for a path that is no folder, or cannot be looked at.
    """
    runs: dict[Path, Path] = {}
    skipped: list[Path] = []
    for path in paths:
        try:
            if not stat.S_ISDIR(path.stat().st_mode):
                raise NotADirectoryError
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(f"{path} is no folder; give run folders or folders of them, such as runs/") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}; give folders that can") from None
        inner, empty = below(path)
        runs |= {run.resolve(): run for run in inner if run.resolve() not in runs}
        skipped += empty
    return list(runs.values()), skipped


def below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The runs in `folder` by name, and the topmost folders in it that hold none or cannot be read."""
    runs, seen, waiting = [], [], [folder]
    while waiting:
        seen.append(here := waiting.pop())
        try:
            # A run that failed before its first step has the latter only.
            if (here / "metrics.jsonl").is_file() or (here / STATUS_FILE).is_file():
                runs.append(here)
                continue
            with os.scandir(here) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        waiting += [here / name for name in sorted(names, reverse=True) if not name.startswith(".")]
    holders = {holder for run in runs for holder in (run, *run.parents)}
    return runs, [place for place in seen if place not in holders and (place == folder or place.parent in holders)]


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`; a warning names those of its files that cannot be read, and are left out."""
    unreadable: list[str] = []

    def content(path: Path, read: Callable[[Path], T], otherwise: T) -> T:
        try:
            return read(path)
        except FileNotFoundError:
            return otherwise
        except (OSError, ValueError):
            unreadable.append(str(path.relative_to(folder)))
            return otherwise

    def plain(path: Path) -> dict[str, Any]:
        return content(path, partial(load_plain, kind=dict), {})

    rows = content(folder / "metrics.jsonl", MetricsFile.read, list[dict[str, float]]())
    starts = content(folder / "provenance.json", partial(load_plain, kind=list), list[Any]())
    results = {path: plain(path) for path in sorted(folder.glob("evaluation/*/result.json"))}
    logged = rows_by_step(row for row in rows if "loss" in row)
    measured, real = measures_of_quality(rows_by_step(row for row in rows if "loss" not in row), logged, results)
    config, outcome = plain(folder / "config.yaml"), plain(folder / STATUS_FILE)
    if unreadable:
        log.warning("%s: left out what is damaged or cannot be read: %s", folder, single_line(", ".join(unreadable)))
    start = starts[-1] if starts and isinstance(starts[-1], dict) else {}
    return RunRecord(folder, config, outcome, logged, measured, start, real)


def measures_of_quality(
    in_training: Sequence[dict[str, float]], logged: Sequence[dict[str, float]], results: Mapping[Path, dict[str, Any]]
) -> tuple[dict[Measure, Points], dict[Measure, float]]:
    """What was measured while training, and what evaluations found, by images; and what real images come to."""
    measured: dict[Measure, Points] = {}
    real: dict[Measure, float] = {}
    for row in in_training:
        real |= of_real_images(row, "")
        for name in row:
            if name not in ("step", "images") and not aside(name):
                measured.setdefault((name, ""), []).append((row.get("images", row["step"]), row[name]))
    per_step = logged[-1].get("images", 0.0) / max(logged[-1]["step"], 1) if logged else 1.0
    for setting, step, found in evaluations(results, in_training):
        real |= of_real_images(found, setting)
        for name, value in found.items():
            if not aside(name):
                measured.setdefault((name, setting), []).append((step * per_step, value))
    return measured, real


def of_real_images(found: dict[str, float], setting: str) -> dict[Measure, float]:
    """The numbers that say what real images come to, by the measure that they stand beside."""
    return {(name.removeprefix(REAL), setting): found[name] for name in found if name.startswith(REAL)}


def evaluations(
    results: Mapping[Path, dict[str, Any]], in_training: Sequence[dict[str, float]]
) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Setting, step and numbers of each result.json but those that training logged, which leaves them there, too.

    The setting is the evaluation's folder without the step.
    """
    # Values as text, since NaN is not NaN.
    logged = {(name, row["step"]): repr(value) for row in in_training for name, value in row.items()}
    for path, result in results.items():
        values = numbers(result)
        if not 0 <= (step := values.get("step", nan)) < MOST_STEPS:
            continue
        # The rest of a result are its circumstances: numbers of images, standard errors and the like.
        graded = {name for name in values if lower_is_better(name) is not None}
        found = {name: value for name, value in values.items() if name.removeprefix(REAL) in graded}
        shared = [name for name in found if (name, step) in logged]
        if shared and all(logged[name, step] == repr(found[name]) for name in shared):
            for name in shared:
                del logged[name, step]
        else:
            yield path.parent.name.removesuffix(f"_step_{step}"), step, found


def rows_by_step(rows: Iterable[dict[str, float]]) -> list[dict[str, float]]:
    """One row a step, ascending; of two values for the same, the later."""
    merged: dict[float, dict[str, float]] = {}
    for row in rows:
        merged.setdefault(row["step"], {}).update(row)
    return [merged[step] for step in sorted(merged)]
