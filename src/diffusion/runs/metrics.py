"""metrics.jsonl, a line a logged step; which of its numbers runs are compared by, and whether less is better."""

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isfinite, nan
from pathlib import Path
from typing import Any

from diffusion.runs.files import atomic_write
from diffusion.runs.small_files import open_regular, regular
from diffusion.runs.state import MOST_STEPS

log = logging.getLogger(__name__)

MOST_BYTES, MOST_LINE = 2**32, 2**20  # of metrics.jsonl, some million lines, and of one line
LARGEST_WHOLE = 2**53  # that every float reaches exactly

LOWER = r"loss|mse|vb|bits_per_dim|cross_entropy|fid|kid|frechet|kernel|copies"
HIGHER = r"recognised|accuracy|precision|recall|inception_score|class_score|psnr|images_per_second"
# What makes another number of the above: an uncertainty, a count, the judge's own figures.
BETWEEN_SEEDS = "_std_between_seeds"  # ends the name of the standard deviation of another number
ASIDE = rf"{BETWEEN_SEEDS}|standard_error|_spread_|^num_|^(real|noise)_|^(classifier|recogniser)_(accuracy|guessing)$"


class MetricsFile:
    """One line of JSON for every logged step: {"step": 200, "images": 25600, "mse": 0.031, ...}.

    Numbers that are not finite are written as Python's `json` reads them: NaN, Infinity, -Infinity.
    A disk that is full or gone costs lines and one warning, never the training.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = False
        self._written: set[str] = set()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line, which the system has on return."""
        self._written |= values.keys()
        line = json.dumps({"step": step, **values}) + "\n"
        try:
            with open(self.path, "a", opener=regular) as file:
                # A failed write may have left half a line, which the next must not continue.
                file.write("\n" + line if self._failed else line)
        except OSError as error:
            self._warn(error)

    def rewind(self, step: int) -> None:
        """Remove the lines after `step`, which a run resumed from there logs again."""
        try:
            if self.path.exists():
                with atomic_write(self.path) as partial, partial.open("wb") as file:
                    kept = (line for line, values in sound_lines(self.path) if values["step"] <= step)
                    file.writelines(line.rstrip() + b"\n" for line in kept)
        except OSError as error:
            self._warn(error)

    def lines(self) -> list[dict[str, float]]:
        """The lines of the file, as far as it can be read."""
        try:
            return self.read(self.path)
        except OSError as error:
            self._warn(error)
            return []

    def tells(self, step: int, numbers: Collection[str]) -> bool:
        """True if a line of `step` holds one of these numbers."""
        here = [line for line in self.lines() if line["step"] == step]
        return any(line.keys() & {*numbers} - {"step"} for line in here)

    def names(self) -> set[str]:
        """The names of all numbers in the file, and of those that it had no room for."""
        return self._written.union(*self.lines())

    @staticmethod
    def read(path: Path) -> list[dict[str, float]]:
        """The lines of a file in the order they were written, [] of no file; OSError if it cannot be read."""
        return [values for _, values in sound_lines(path)] if path.exists() else []

    def _warn(self, error: OSError) -> None:
        if not self._failed:
            log.warning("Training goes on, but %s misses lines: %s", self.path, error)
        self._failed = True


def sound_lines(path: Path) -> Iterator[tuple[bytes, dict[str, float]]]:
    """Each line that has a step, and its numbers; what a crash has torn, or is nobody's record, is left out."""
    with open_regular(path, MOST_BYTES) as file:
        for line in iter(lambda: file.readline(MOST_LINE), b""):
            values: dict[str, float] = {}
            with suppress(ValueError, RecursionError):
                values = numbers(json.loads(line))
            if 0 <= values.get("step", nan) < MOST_STEPS:
                yield line, values


def numbers(values: Any) -> dict[str, float]:
    """The entries of a dict that are numbers, and whose names can be shown; {} of anything else."""
    entries = values.items() if isinstance(values, dict) else ()
    kept = {name: value for name, value in entries if type(value) in (int, float) and name.isprintable()}
    # By its text, as a whole number may be too large for a float.
    return {name: value if abs(value) < LARGEST_WHOLE else float(str(value)) for name, value in kept.items()}


def require_logged(objective: str | None, logged: Collection[str]) -> None:
    """ValueError if an `objective` is set and is not among the names of what a run has logged."""
    # A quartile has no mean where it had no images.
    if objective is None or objective in logged or re.sub(r"_q[0-3]$", "", objective) in logged:
        return
    known = ", ".join(sorted(set(logged) - {"step", "images"})) or "nothing"
    raise ValueError(
        f"objective={objective} is not logged; this run logs {known}; "
        "what is measured needs 'train/evaluations=[...]' and train.evaluate_every"
    )


def objective_value(folder: Path, objective: str | None) -> float | None:
    """The last value of `objective` that the run in `folder` logged, None without one; ValueError as above."""
    if objective is None:
        return None
    lines = MetricsFile.read(folder / "metrics.jsonl")
    require_logged(objective, {name for line in lines for name in line})
    return next((float(line[objective]) for line in reversed(lines) if objective in line), None)


def lower_is_better(name: str) -> bool | None:
    """True of a distance or a loss, False of a score, None of a number that is neither, or not known here."""
    if aside(name):
        return None
    if re.search(rf"(^|_)({LOWER})", name):
        return True
    return False if re.search(rf"(^|_)({HIGHER})", name) else None


def aside(name: str) -> bool:
    """True of a number that only accompanies another."""
    return re.search(ASIDE, name) is not None


def best(name: str, values: Sequence[float]) -> float | None:
    """The best finite value; None if there is none, or if no direction is better."""
    lower, finite = lower_is_better(name), [value for value in values if isfinite(value)]
    if lower is None or not finite:
        return None
    return min(finite) if lower else max(finite)
