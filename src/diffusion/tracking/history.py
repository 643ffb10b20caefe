"""What a run folder holds of earlier starts: the run's id in W&B, its metrics and its pictures."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from diffusion.runs.files import atomic_write_text
from diffusion.runs.metrics import MetricsFile

PICTURE = re.compile(r"step_(\d{8})_.+\.png")


class RunId(NamedTuple):
    """A run's id in W&B, and whether an earlier start used it."""

    id: str
    continued: bool


def run_id(file: Path, *, resume: bool) -> RunId:
    """The id in `file` if the run resumes and there is one; else a new one, written there if that works."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if resume:
            return RunId(str(json.loads(file.read_text())["id"]), continued=True)
    new = RunId(secrets.token_hex(8), continued=False)
    with suppress(OSError):
        atomic_write_text(file, json.dumps({"id": new.id}))
    return new


def last_logged_step(folder: Path) -> int:
    """The last step in the folder's metrics.jsonl, -1 if none."""
    return max((int(row["step"]) for row in MetricsFile.read(folder / "metrics.jsonl")), default=-1)


def logged_before(folder: Path, before: float) -> Iterator[tuple[int, dict[str, float] | Path]]:
    """The rows and pictures of each step below `before`, by step."""
    entries: list[tuple[int, dict[str, float] | Path]] = []
    entries += [(int(row["step"]), row) for row in MetricsFile.read(folder / "metrics.jsonl")]
    for path in sorted(folder.glob("samples/step_*.png")):
        if match := PICTURE.fullmatch(path.name):
            entries.append((int(match[1]), path))
    yield from sorted((entry for entry in entries if entry[0] < before), key=lambda entry: entry[0])
