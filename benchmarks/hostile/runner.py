"""One hostile case: a command in a prepared folder, run in a forked process, and what may be said of its end.

The laws: it ends in time and within its memory; no code of the case's runs, which would leave `MARK`; it exits with 0
where that is right, or is refused: exit code 1, and on stderr the one line that begins with the program's name.
"""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MARK = "mark"  # what a case's own code would leave in its folder
SECONDS, MEMORY = 10.0, 1.0  # a case's limits: seconds, GB in use
ADDRESSES = 2.0  # GB of addresses; threads reserve some that they never use
TINY = (
    "device=cpu", "logger.mode=disabled", "diffusion.steps=8", "model.base_channels=8", "model.channel_mult=[1,2]",
    "model.norm_groups=4", "model.attention_resolutions=[4]", "train=debug", "train.max_steps=4",
    "train.anneal_steps=null", "train.preview.every=0",
)  # fmt: skip
DIGITS = ("data.image_size=8", *TINY)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command: `words`, the first of them a script (train.py) or -m and a module, in a folder that `prepare` fills.

    `may` holds the right ends: "refused", "accepted". `untouched`: a refusal leaves the folder as it was. `complaint`
    looks at what else must hold once the command has ended, and says what does not.
    """

    kind: str
    name: str
    words: tuple[str, ...]
    prepare: Callable[[Path], object] = lambda folder: None
    may: tuple[str, ...] = ("refused",)
    untouched: bool = False
    complaint: Callable[[Path, str], str | None] = lambda folder, said: None


class Ended(NamedTuple):
    """How a case ended: "refused", "accepted" or what is wrong; its seconds, its GB, and what it printed."""

    end: str
    seconds: float
    memory: float
    said: str

    @property
    def failed(self) -> bool:
        return self.end not in ("refused", "accepted")


def import_what_commands_import() -> None:
    """Once for all cases, which are forked from this process."""
    for name in ("torch._dynamo", "wandb", "matplotlib.pyplot", "diffusion.cli.command", "diffusion.config.build",
                 "diffusion.config.subjects", "diffusion.evaluation.subject", "diffusion.report.page"):  # fmt: skip
        importlib.import_module(name)


def try_case(case: Case, folder: Path, seconds: float = SECONDS) -> Ended:
    """Run a case in `folder`, which is made for it and removed."""
    folder.mkdir(parents=True)
    try:
        case.prepare(folder)
        before = listing(folder)
        folder.with_suffix(".sizes").unlink(missing_ok=True)
        code, took, memory, addresses = run(case.words, folder, seconds)
        out, err = (folder.with_suffix(name).read_text(errors="replace") for name in (".out", ".err"))
        end = judge(case.words, code, err)
        if code is None:
            end = f"takes longer than {seconds:g} s"
        elif memory > MEMORY or addresses > ADDRESSES:
            end = f"takes {memory:.1f} GB, and {addresses:.1f} GB of addresses"
        elif (folder / MARK).exists():
            end = "runs code"
        elif end == "refused" and case.untouched and listing(folder) != before:
            end = f"leaves behind {', '.join(sorted(listing(folder) ^ before))}"
        elif end in ("refused", "accepted"):
            end = end if end in case.may else f"is {end}"
            end = case.complaint(folder, out + err) or end
        return Ended(end, took, memory, out + err)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def trained_run(folder: Path, *words: str) -> Path:
    """The folder of a small run, trained to its end in `folder`; `words` add to its command."""
    folder.mkdir(parents=True, exist_ok=True)
    code, *_ = run(("train.py", "name=run", *DIGITS, *words), folder, seconds=120)
    assert code == 0, folder.with_suffix(".err").read_text()
    return folder / "runs" / "run"


def listing(folder: Path) -> set[str]:
    """The names of everything in a folder; no link is followed."""
    return {
        os.path.relpath(os.path.join(where, name), folder)
        for where, folders, files in os.walk(folder)
        for name in folders + files
    }


def judge(words: tuple[str, ...], code: int | None, err: str) -> str:
    """ "accepted", "refused", or what is wrong with how a command said its end."""
    lines = [line for line in re.split(r"[\r\n]", err) if line.strip()]
    if any(line.startswith(("Traceback", "usage:", "Usage:")) for line in lines):
        return f"exit code {code}, and not in one line: {' / '.join(lines)[-200:]!r}"
    if code == 0:
        return "accepted"
    said = f"{Path(words[0]).stem if words[0] != '-m' else words[1].rpartition('.')[2]}: "
    if code == 1 and [line.startswith(said) for line in lines[-2:]] in ([True], [False, True]):
        return "refused" if lines[-1].isprintable() else f"refused in a line that steers the terminal: {lines[-1]!r}"
    return f"exit code {code}, without one line for it: {' / '.join(lines)[-200:]!r}"


def run(words: tuple[str, ...], folder: Path, seconds: float) -> tuple[int | None, float, float, float]:
    """The exit code of a command in `folder`, None if it had to be killed; its seconds; its GB used and addressed."""
    started = time.monotonic()
    if not (child := os.fork()):
        run_in_child(words, folder)
    first = last = Sizes.of(child)
    done = status = 0
    while not done and time.monotonic() - started < seconds:
        time.sleep(0.01)
        last = Sizes.of(child) or last  # a process that has ended has none
        done, status = os.waitpid(child, os.WNOHANG)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # it and what it has started
    if not done:
        os.waitpid(child, 0)
    with suppress(FileNotFoundError):
        last = Sizes.read(folder.with_suffix(".sizes"))
    code = os.waitstatus_to_exitcode(status) if done else None
    return code, time.monotonic() - started, last.used - first.used, last.addressed - first.addressed


class Sizes(NamedTuple):
    """The GB that a process used at most, and of which it had addresses at most."""

    used: float
    addressed: float

    @classmethod
    def read(cls, path: Path) -> Sizes:
        found = dict(re.findall(r"^(\w+):\s+(\d+) kB", path.read_text(), re.MULTILINE))
        return cls(*(int(found.get(name, 0)) * 1024 / 1e9 for name in ("VmHWM", "VmPeak")))

    @classmethod
    def of(cls, process: int) -> Sizes:
        return cls.read(Path(f"/proc/{process}/status"))

    def __bool__(self) -> bool:
        return self.addressed > 0


def run_in_child(words: tuple[str, ...], folder: Path) -> None:
    """Become the command; what it prints goes beside its folder."""
    code = 1
    try:
        os.setsid()
        for number, path in enumerate((Path("/dev/null"), folder.with_suffix(".out"), folder.with_suffix(".err"))):
            os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY if number else os.O_RDONLY, 0o644), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        os.chdir(folder)
        if words[0] == "-m":
            sys.argv = [words[1], *words[2:]]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(words)
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        code = 0
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        shutil.copyfile("/proc/self/status", folder.with_suffix(".sizes"))
        os._exit(code)
