"""What W&B has of a run that goes on, and what the run folder has beyond it."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diffusion.runs.files import atomic_write_text
from diffusion.runs.metrics import MetricsFile
from diffusion.tracking.torn import mend

NOTHING = -1  # the last step of a run that has none
PATIENCE = 60  # seconds to read one part of a run back
PICTURE = re.compile(r"step_(\d{8})_(.+)\.png")


class Identity(NamedTuple):
    """The run's id in W&B and the last step that it has; None while that is not known."""

    id: str
    step: int | None


class LoggedBefore(NamedTuple):
    """What a run folder has of a step: its lines of metrics.jsonl and its pictures by name."""

    step: int
    lines: list[dict[str, float]]
    pictures: dict[str, Path]


def new_identity() -> Identity:
    return Identity(secrets.token_hex(8), NOTHING)


def read_identity(file: Path) -> Identity:
    """What `write_identity` wrote; a new identity if there is no such file."""
    try:
        kept = json.loads(file.read_text())
        return Identity(str(kept["id"]), kept["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return new_identity()


def write_identity(file: Path, identity: Identity) -> None:
    atomic_write_text(file, json.dumps(identity._asdict()))


def offline_parts(folder: Path, run_id: str) -> list[Path]:
    """The folders that W&B keeps of one run in `folder`, a folder a start, the oldest first."""
    return sorted(folder.glob(f"wandb/*run-*-{run_id}"), key=lambda part: part.name.partition("run-")[2])


def mend_parts(folder: Path, run_id: str) -> list[Path]:
    """The `parts` after whole records only are left in them, as `wandb sync` wants it."""
    for part in offline_parts(folder, run_id):
        mend(part)
    return offline_parts(folder, run_id)


def last_recorded(folders: list[Path]) -> int:
    """The last step that parts of a run hold, -1 if none."""
    steps = (record_step(part) for part in reversed(folders))
    return next((step for step in steps if step is not None), NOTHING)


def record_step(part: Path) -> int | None:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(part)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return told.get("step")


def logged_before(folder: Path, step: float) -> Iterator[LoggedBefore]:
    """What the run folder has of every step before `step`, rising."""
    lines: dict[int, list[dict[str, float]]] = defaultdict(list)
    pictures: dict[int, dict[str, Path]] = defaultdict(dict)
    metrics = folder / "metrics.jsonl"
    for line in MetricsFile.read(metrics):
        lines[int(line["step"])].append(line)
    for path in sorted(folder.glob("samples/step_*.png")):
        if found := PICTURE.fullmatch(path.name):
            pictures[int(found[1])][found[2]] = path
    for earlier in sorted(lines.keys() | pictures.keys()):
        if earlier < step:
            yield LoggedBefore(earlier, lines[earlier], pictures[earlier])
