"""metrics.jsonl, a line a logged step, and the number among them that runs are compared by."""

import json
import logging
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from diffusion.runs.files import atomic_write_text

log = logging.getLogger(__name__)


class MetricsFile:
    """One line of JSON for every logged step: {"step": 200, "images": 25600, "mse": 0.031, ...}.

    Numbers that are not finite are written as Python's `json` reads them: NaN, Infinity, -Infinity.
    A disk that is full or gone costs lines and one warning, never the training.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = False

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line, which the system has on return."""
        line = json.dumps({"step": step, **values}) + "\n"
        try:
            with self.path.open("a") as file:
                # A failed write may have left half a line, which the next must not continue.
                file.write("\n" + line if self._failed else line)
        except OSError as error:
            self._warn(error)

    def rewind(self, step: int) -> None:
        """Remove the lines after `step`, which a run resumed from there logs again."""
        try:
            if self.path.exists():
                lines = [line for line in self.read(self.path) if line["step"] <= step]
                atomic_write_text(self.path, "".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            self._warn(error)

    def names(self) -> set[str]:
        """The names of all numbers in the file."""
        return {name for line in self.read(self.path) for name in line}

    @staticmethod
    def read(path: Path) -> list[dict[str, float]]:
        """The lines of a file in the order they were written, [] of no file; a line torn by a crash is left out."""
        if not path.exists():
            return []
        lines = []
        for text in path.read_text(errors="replace").splitlines():
            with suppress(ValueError, RecursionError):
                lines.append(json.loads(text))
        return [line for line in lines if isinstance(line, dict)]

    def _warn(self, error: OSError) -> None:
        if not self._failed:
            log.warning("Training goes on, but %s misses lines: %s", self.path, error)
        self._failed = True


def require_logged(objective: str | None, logged: Collection[str]) -> None:
    """ValueError if an `objective` is set and is not among the names of what a run has logged."""
    # A quartile has no mean where it had no images.
    if objective is None or objective in logged or re.sub(r"_q[0-3]$", "", objective) in logged:
        return
    known = ", ".join(sorted(set(logged) - {"step", "images"})) or "nothing"
    raise ValueError(
        f"objective={objective} was never logged; this run logged {known}; "
        "what is measured needs 'train/evaluations=[...]' and train.evaluate_every"
    )


def objective_value(folder: Path, objective: str | None) -> float | None:
    """The last value of `objective` that the run in `folder` logged, None without one; ValueError as above."""
    if objective is None:
        return None
    lines = MetricsFile.read(folder / "metrics.jsonl")
    require_logged(objective, {name for line in lines for name in line})
    return next((float(line[objective]) for line in reversed(lines) if objective in line), None)
