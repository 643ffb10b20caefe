"""How a run stands or ended, in its folder's outcome.json: a finished run need not be loaded again."""

import json
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion.compute import distributed
from diffusion.runs import checkpoints
from diffusion.runs.files import atomic_write_text
from diffusion.runs.redaction import redact
from diffusion.runs.resuming import flatten, may_change
from diffusion.runs.small_files import read_plain

STATUS_FILE = "outcome.json"
log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What a run came to: its exit code, and the number that a sweeper minimises."""

    code: int = 0
    objective: float | None = None


def write_status(
    folder: Path, state: str, *, max_steps: int | None = None, message: str = "", objective: float | None = None
) -> None:
    """On the leader, write that a run is running, finished, stopped or failed, and the step of its last checkpoint."""
    if distributed.is_leader():
        status = {"state": state, "step": checkpoints.last_step(folder / "checkpoints"), "max_steps": max_steps}
        status |= {"message": redact(message), "objective": objective}
        atomic_write_text(folder / STATUS_FILE, json.dumps(status) + "\n")


@contextmanager
def record_status(folder: Path, max_steps: int | None) -> Iterator[Outcome]:
    """Write that the run is running and, at the end, how it ended."""
    outcome, state, message = Outcome(), "failed", ""
    write_status(folder, "running", max_steps=max_steps)
    try:
        yield outcome
        state = "stopped" if outcome.code else "finished"
    except BaseException as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise
    finally:
        try:
            write_status(folder, state, max_steps=max_steps, message=message, objective=outcome.objective)
        except OSError as error:  # It must not hide what the run came to.
            log.warning("How the run ended cannot be written: %s", error)


def read_status(folder: Path) -> dict[str, Any]:
    """What was written last; nothing if there is no file, or garbage."""
    return read_plain(folder / STATUS_FILE, dict)


Settings = dict[str, Any]


def finished_step(
    folder: Path, config: Settings, also: Collection[str] = (),
    comparable: Callable[[Settings, Settings], tuple[Settings, Settings]] = lambda old, new: (old, new),
) -> int | None:  # fmt: skip
    """The last step of the run in `folder`, if it is finished and has all the steps that `config` asks for; or None.

    None also of another experiment than `config` describes. `comparable` puts the settings in the folder and those of
    `config` in the same words. What `config` leaves to the data, "???", may be anything.
    """
    status, steps = read_status(folder), config["train"]["max_steps"]
    step, written = status.get("step"), read_plain(folder / "config.yaml", dict)
    if status.get("state") != "finished" or type(step) is not int or steps is None or step < steps or not written:
        return None
    if not checkpoints.path_of(folder / "checkpoints", step).exists():
        return None
    try:
        old, new = map(flatten, comparable(written, config))
    except ValueError:
        return None
    for key, value in new.items():
        measures = key.startswith("train.evaluations.")  # They must be the same: an added one is still to be measured.
        unlike = old.get(key, None if measures else value) != value
        if unlike and value != "???" and (measures or not may_change(key, also)):
            return None
    return step
