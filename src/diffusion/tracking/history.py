"""What a run has logged so far, as its folder holds it."""

import re
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from diffusion.runs.metrics import MetricsFile

PICTURE = re.compile(r"step_(\d{8})_(.+)\.png")


class LoggedMetrics(NamedTuple):
    """What `Logger.log` was told."""

    step: int
    values: dict[str, float]
    panel: str | None


class LoggedPicture(NamedTuple):
    """What `Logger.images` was told, as far as the file tells."""

    step: int
    name: str
    picture: Path
    caption: str


def logged_before(folder: Path, before: float) -> list[LoggedMetrics | LoggedPicture]:
    """The rows and pictures of each step below `before` that a run folder holds, by step."""
    entries: list[LoggedMetrics | LoggedPicture] = [
        LoggedMetrics(int(row["step"]), row, None if "loss" in row else "quality")
        for row in MetricsFile.read(folder / "metrics.jsonl")
    ]
    for path in sorted(folder.glob("samples/step_*.png")):
        if match := PICTURE.fullmatch(path.name):
            step, name = int(match[1]), match[2]
            entries.append(LoggedPicture(step, name, path, f"step {step}, {name}"))
    return sorted((entry for entry in entries if entry.step < before), key=attrgetter("step"))
