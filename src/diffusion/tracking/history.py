"""What a run folder holds of earlier starts: the run's id in W&B, its metrics and its pictures."""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from diffusion.runs.files import atomic_write_text, read_plain
from diffusion.runs.metrics import MetricsFile

PICTURE = re.compile(r"step_(\d{8})_.+\.png")


def run_id(file: Path, *, resume: bool) -> tuple[str, bool]:
    """The run's id in W&B: that in `file` if the run resumes, and True; else a new one, written there if that works."""
    if resume and (known := read_plain(file, dict).get("id")):
        return str(known), True
    new = secrets.token_hex(8)
    with suppress(OSError):
        atomic_write_text(file, json.dumps({"id": new}))
    return new, False


def logged_before(folder: Path, before: float) -> Iterator[tuple[int, dict[str, float] | Path]]:
    """The rows and pictures of each step below `before`, by step."""
    entries: list[tuple[int, dict[str, float] | Path]] = []
    entries += [(int(row["step"]), row) for row in MetricsFile.read(folder / "metrics.jsonl")]
    found = [(PICTURE.fullmatch(path.name), path) for path in sorted(folder.glob("samples/step_*.png"))]
    entries += [(int(match[1]), path) for match, path in found if match]
    yield from sorted((entry for entry in entries if entry[0] < before), key=lambda entry: entry[0])
