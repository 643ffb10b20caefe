"""Where a run comes from: the command, the commit of this code, and what differs from that commit."""

import json
import logging
import platform
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import torch

from diffusion.runs.files import atomic_write_text
from diffusion.runs.redaction import redact
from diffusion.runs.small_files import read_plain

log = logging.getLogger(__name__)

HERE = Path(__file__)
GIT_TIMEOUT = 20  # seconds for git to answer, which takes long on a slow network disk


def record_provenance(folder: Path, *, command: Sequence[str]) -> dict[str, Any]:
    """Add this start to provenance.json in `folder`, and what differs from the commit as code.diff; the new entry.

    Keys and passwords are left out of both. A disk that is full or gone costs a warning.
    """
    entry: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redact(shlex.join(command)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "host": platform.node(),
        "commit": None,
    }
    try:
        entry |= code_state(folder)
        file = folder / "provenance.json"
        atomic_write_text(file, json.dumps([*read_plain(file, list), entry], indent=2) + "\n")
    except OSError as error:
        log.warning("Training goes on, but %s does not say where the run comes from: %s", folder, error)
    return entry


def code_state(folder: Path) -> dict[str, Any]:
    """The commit of the repository that this code runs from, if it is in one, and the name of the file of the diff."""
    if run_git("ls-files", "--error-unmatch", HERE.name) is None:
        return {}  # installed, or in a repository of something else
    commit, diff = run_git("rev-parse", "HEAD"), run_git("diff", "HEAD", "--no-color", "--no-ext-diff")
    untracked = run_git("ls-files", "--others", "--exclude-standard", "--full-name", ":/") or ""
    return {
        "commit": commit and commit.strip(),
        "diff": save_diff(folder, redact(diff)) if diff else None,
        "untracked": [redact(name) for name in untracked.splitlines()],
    }


def save_diff(folder: Path, diff: str) -> str:
    """The name of the file that holds `diff`: code.diff, or code_2.diff if the code has changed since, and so on."""
    files = (folder / ("code.diff" if number == 1 else f"code_{number}.diff") for number in count(1))
    file = next(file for file in files if not file.exists() or file.read_text() == diff)
    atomic_write_text(file, diff)
    return file.name


def run_git(*words: str) -> str | None:
    """What git says about the repository around this file; None if it cannot."""
    command = ["git", "-C", str(HERE.parent), *words]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, timeout=GIT_TIMEOUT, check=True)
        return done.stdout.decode(errors="replace")
    return None
