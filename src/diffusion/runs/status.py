"""How a run stands or ended, in its folder's outcome.json: a finished run need not be loaded again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from diffusion.compute import distributed
from diffusion.runs import checkpoints
from diffusion.runs.files import atomic_write_text
from diffusion.runs.redaction import redact
from diffusion.runs.resuming import flatten, may_change

STATUS_FILE = "outcome.json"
log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What a run came to: its exit code, and the number that a sweeper minimises."""

    code: int = 0
    objective: float | None = None


def write_status(
    folder: Path,
    state: str,
    *,
    step: int = 0,
    max_steps: int | None = None,
    message: str = "",
    objective: float | None = None,
) -> None:
    """Write that the run is running, finished, stopped or failed, and at which step."""
    status = {"state": state, "step": step, "max_steps": max_steps, "message": redact(message), "objective": objective}
    atomic_write_text(folder / STATUS_FILE, json.dumps(status) + "\n")


@contextmanager
def record_status(folder: Path, max_steps: int | None) -> Iterator[Outcome]:
    """Write that the run is running and, at the end, how it ended. Of several processes the leader writes."""
    outcome, state, message = Outcome(), "failed", ""
    update_status(folder, "running", max_steps)
    try:
        yield outcome
        state = "stopped" if outcome.code else "finished"
    except BaseException as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise
    finally:
        try:
            update_status(folder, state, max_steps, message=message, objective=outcome.objective)
        except OSError as error:  # It must not hide what the run came to.
            log.warning("How the run ended cannot be written: %s", error)


def update_status(folder: Path, state: str, max_steps: int | None, **more: Any) -> None:
    if distributed.is_leader():
        step = checkpoints.last_step(folder / "checkpoints")
        write_status(folder, state, step=step, max_steps=max_steps, **more)


def read_status(folder: Path) -> dict[str, Any]:
    """What was written last; nothing if there is no file, or garbage."""
    with suppress(OSError, ValueError, RecursionError):
        status = json.loads((folder / STATUS_FILE).read_text(errors="replace"))
        return status if isinstance(status, dict) else {}
    return {}


def is_finished(
    folder: Path,
    config: dict[str, Any],
    also: Collection[str] = (),
    complete: Callable[[Any], Any] = lambda settings: settings,
) -> bool:
    """True if the run in `folder` is the one that `config` describes and has all its steps.

    A run whose max_steps was raised is not finished, and one under whose name there is now another experiment is not
    this one. `also` adds settings that may differ; `complete` puts the settings of an earlier version in the words of
    this one, before they are compared.
    """
    status, steps = read_status(folder), config["train"]["max_steps"]
    weights = folder / "checkpoints" / f"step_{steps or 0:08d}.pt"
    return (
        status.get("state") == "finished"
        and status.get("step") == steps
        and weights.exists()
        and is_same_experiment(folder, config, also, complete)
    )


def is_same_experiment(
    folder: Path, config: dict[str, Any], also: Collection[str], complete: Callable[[Any], Any]
) -> bool:
    """True if `config` describes the run in `folder`; what it leaves to the data ("???") may be anything."""
    try:
        old = flatten(complete(yaml.safe_load((folder / "config.yaml").read_text())))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    for key, value in flatten(complete(config)).items():
        # Evaluations must be the same: an added one is still to be measured.
        measures = key.startswith("train.evaluations.")
        unlike = old.get(key, None if measures else value) != value
        if unlike and value != "???" and (measures or not may_change(key, also)):
            return False
    return True
