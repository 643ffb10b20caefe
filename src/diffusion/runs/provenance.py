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

from diffusion.runs.files import atomic_write, atomic_write_text
from diffusion.runs.redaction import redact
from diffusion.runs.small_files import load_plain, read_bytes

log = logging.getLogger(__name__)

HERE = Path(__file__)
GIT_TIMEOUT = 20  # seconds for git to answer, which takes long on a slow network disk
SOURCES = (
    ".py", ".pyx", ".ipynb", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".sh", ".md", ".txt", ".tex",
    ".c", ".cc", ".cpp", ".cu", ".cuh", ".h",
)  # fmt: skip
MOST_BYTES, MOST_BYTES_OF_A_FILE = 2**22, 2**18  # of sources that git does not know
MOST_NAMES = 100
MOST_BYTES_OF_STARTS = 2**26


def record_provenance(folder: Path, *, command: Sequence[str]) -> dict[str, Any]:
    """Add this start to provenance.json in `folder`, and what differs from the commit as code.diff; the new entry.

    The diff adds the sources that git does not know, too, but for long ones; what it leaves out the entry names. Keys
    and passwords are left out of both. A disk that is full or gone costs a warning.
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
        atomic_write_text(file, json.dumps([*earlier_starts(file), entry], indent=2) + "\n")
    except OSError as error:
        log.warning("Training goes on, but %s does not say where the run comes from: %s", folder, error)
    return entry


def earlier_starts(file: Path) -> list[Any]:
    """The entries of a provenance.json; one that cannot be read is kept beside it as provenance.damaged."""
    try:
        return load_plain(file, list, most=MOST_BYTES_OF_STARTS)
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        file.replace(file.with_suffix(".damaged"))
        log.warning("%s cannot be read, and is kept as %s", file, file.with_suffix(".damaged").name)
        return []


def code_state(folder: Path) -> dict[str, Any]:
    """The commit of the repository that this code runs from, if it is in one, and the name of the file of the diff."""
    if run_git("ls-files", "--error-unmatch", HERE.name) is None:
        return {}  # installed, or in a repository of something else
    commit, diff = run_git("rev-parse", "HEAD"), run_git("diff", "HEAD", "--no-color", "--no-ext-diff")
    top = run_git("rev-parse", "--show-toplevel") or str(HERE.parent)
    untracked = run_git("ls-files", "-z", "--others", "--exclude-standard", "--full-name", ":/") or ""
    new, left_out = new_sources(Path(top.rstrip("\n")), untracked.split("\0")[:-1])
    diff = (diff or "") + "".join(new.values())
    return {
        "commit": commit and commit.strip(),
        "diff": save_diff(folder, redact(diff)) if diff else None,
        "untracked": first_names([*new]),
        "left_out": first_names(left_out),
    }


def first_names(names: Sequence[str]) -> list[str]:
    """As many names as a person reads, and how many there are more."""
    more = [f"and {len(names) - MOST_NAMES:,} more"] if len(names) > MOST_NAMES else []
    return [*map(redact, names[:MOST_NAMES]), *more]


def new_sources(top: Path, names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The diff that adds each source among the files below `top` of these names, and the names of the other files.

    Those that lie deepest, such as copies of other projects, are left out first where there are too many.
    """
    diffs, left_out, room = dict[str, str](), list[str](), MOST_BYTES
    for name in sorted(names, key=lambda name: (name.count("/"), name)):
        try:
            content = read_bytes(top / name, min(room, MOST_BYTES_OF_A_FILE)) if is_source(name) else b"\0"
        except OSError:
            content = b"\0"
        if b"\0" in content:
            left_out.append(name)
        else:
            diffs[name] = addition(name, content.decode(errors="surrogateescape"))
            room -= len(content)
    return diffs, left_out


def is_source(name: str) -> bool:
    """Whether a file is called as what people write; git would quote what is no plain name."""
    return name.endswith(SOURCES) and name.isprintable() and not {'"', "\\"} & {*name}


def addition(name: str, text: str) -> str:
    """The diff that adds a file, as git writes it."""
    head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n"
    if not text:
        return head
    lines = text.removesuffix("\n").split("\n")
    end = "" if text.endswith("\n") else "\\ No newline at end of file\n"
    return f"{head}--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{x}\n" for x in lines) + end


def save_diff(folder: Path, diff: str) -> str:
    """The name of the file that holds `diff`: code.diff, or code_2.diff if the code has changed since, and so on."""
    content = diff.encode(errors="surrogateescape")
    files = (folder / ("code.diff" if number == 1 else f"code_{number}.diff") for number in count(1))
    file = next(file for file in files if not file.exists() or holds(file, content))
    with atomic_write(file) as partial:
        partial.write_bytes(content)
    return file.name


def holds(file: Path, content: bytes) -> bool:
    with suppress(OSError):
        return read_bytes(file, len(content)) == content
    return False


def run_git(*words: str) -> str | None:
    """What git says about the repository around this file; None if it cannot."""
    command = ["git", "-C", str(HERE.parent), *words]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, timeout=GIT_TIMEOUT, check=True)
        return done.stdout.decode(errors="surrogateescape")
    return None
