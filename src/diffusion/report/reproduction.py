"""The commands that made the runs and that go on with them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

from diffusion.report.differences import short_names
from diffusion.report.runs import RunRecord
from diffusion.runs.naming import shell_override


def reproduction(runs: Sequence[RunRecord]) -> Iterator[str]:
    """A part of the page for each run, closed until it is asked for."""
    yield "<h2>Commands</h2>"
    for run, name in zip(runs, short_names(runs), strict=True):
        told = f"<pre><code>{escape(commands(run))}</code></pre>"
        yield f"<details><summary><code>{escape(name)}</code></summary>{told}</details>"


def commands(run: RunRecord) -> str:
    """The run's command as it was typed, if it was kept, and those that draw from it and measure it."""
    place = shell_override("checkpoint", run.folder)
    made = list(origin(run.folder)) or [f"# its settings: {run.folder / 'config.yaml'}"]
    return "\n".join([*made, f"python sample.py {place}", f"python evaluate.py {place}"])


def origin(folder: Path) -> Iterator[str]:
    """The last entry of provenance.json: the code's commit, what differed from it, and the command."""
    with suppress(OSError, ValueError, RecursionError):
        entries = json.loads((folder / "provenance.json").read_text(errors="replace"))
        last = entries[-1] if isinstance(entries, list) and entries else None
        if isinstance(last, dict) and isinstance(last.get("command"), str):
            if last.get("commit"):
                yield f"git checkout {shlex.quote(str(last['commit']))}"
            if last.get("diff"):
                yield f"git apply {shlex.quote(str(folder / str(last['diff'])))}"
            yield last["command"]
