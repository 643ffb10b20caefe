"""Commands for a run that is finished: none trains it, says that it is done, or changes its record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runner import DIGITS, Case, trained_run

# A setting of each kind that is left out of the names of runs, with another value than the run's.
SETTINGS = (
    "train.max_steps=2", "train.max_steps=4", "train.log_every=3", "train.save_every=3", "train.keep=1",
    "train.keep_every=2", "train.preview.images=3", "train.snapshot_every=2", "train.evaluate_every=0",
    "train.microbatch=8", "train.parallel=ddp", "train.compile=true", "train.detect_anomaly=true", "sampler=ddim",
    "sampler.steps=4", "logger.mode=offline", "logger.group=mine", "device=auto", "objective=loss", "guidance.scale=2",
    "trust=[mine]",
)  # fmt: skip


def cases(place: Path, seed: int) -> Iterator[Case]:
    run = trained_run(place)
    for setting in SETTINGS:
        yield Case(
            kind="a finished run", name=setting, words=("train.py", "name=run", *DIGITS, setting), may=("accepted",),
            prepare=partial(copy, run), complaint=partial(record_changed, record(run)),
        )  # fmt: skip


def copy(run: Path, folder: Path) -> None:
    shutil.copytree(run, folder / "runs" / "run")


def record(run: Path) -> dict[str, bytes]:
    """Every file of a run but its log, to which each command may add."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.name != "train.log" and path.is_file()
    }


def record_changed(before: dict[str, bytes], folder: Path, said: str) -> str | None:
    after = record(folder / "runs" / "run")
    if changed := [name for name in before | after if before.get(name) != after.get(name)]:
        return f"changes {', '.join(changed)}"
    return None if said.startswith("Nothing to train:") and "Done" not in said else f"says {said!r}"
