"""How a run ended, as its folder tells: what is finished need not be loaded again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
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

FILE = "outcome.json"
log = logging.getLogger(__name__)


def write_status(
    folder: Path, state: str, *, step: int = 0, max_steps: int | None = None, message: str = "", found: Any = None
) -> None:
    """Keep that the run is running, finished, stopped or failed, and at which step."""
    message = redact(message)
    told = {"state": state, "step": step, "max_steps": max_steps, "message": message, "objective": found}
    atomic_write_text(folder / FILE, json.dumps(told) + "\n")


@dataclass
class Outcome:
    """What a run came to: its exit code, and the number that a sweeper makes small."""

    code: int = 0
    objective: float | None = None


@contextmanager
def record_status(folder: Path, max_steps: int | None) -> Iterator[Outcome]:
    """Keep that the run is running and, at the end, how it ended. Of several processes one writes."""
    end, state, message = Outcome(), "failed", ""
    update_status(folder, "running", max_steps)
    try:
        yield end
        state = "stopped" if end.code else "finished"
    except BaseException as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise
    finally:
        try:
            update_status(folder, state, max_steps, message=message, found=end.objective)
        except OSError as error:  # It must not hide what the run came to.
            log.warning("How the run ended cannot be kept: %s", error)


def update_status(folder: Path, state: str, max_steps: int | None, **more: Any) -> None:
    if distributed.is_leader():
        step = checkpoints.last_step(folder / "checkpoints")
        write_status(folder, state, step=step, max_steps=max_steps, **more)


def read_status(folder: Path) -> dict[str, Any]:
    """What was kept last; nothing if there is no file, or garbage."""
    with suppress(OSError, ValueError):
        told = json.loads((folder / FILE).read_text())
        return told if isinstance(told, dict) else {}
    return {}


def is_finished(folder: Path, config: dict[str, Any]) -> bool:
    """True if the run in `folder` is the one that `config` describes and has all its steps.

    A run whose max_steps was raised is not finished, and one under whose name there is now another experiment is not
    this one.
    """
    told, steps = read_status(folder), config["train"]["max_steps"]
    weights = folder / "checkpoints" / f"step_{steps or 0:08d}.pt"
    return (
        told.get("state") == "finished"
        and told.get("step") == steps
        and weights.exists()
        and is_same_experiment(folder, config)
    )


def is_same_experiment(folder: Path, config: dict[str, Any]) -> bool:
    """True if `config` describes the run in `folder`; what it leaves to the data ("???") may be anything."""
    try:
        old = flatten(yaml.safe_load((folder / "config.yaml").read_text()))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    for key, value in flatten(config).items():
        # What is to be measured must have been: it was kept with the settings of the run that measured it.
        measures = key.startswith("train.evaluations.")
        unlike = old.get(key, None if measures else value) != value
        if unlike and value != "???" and (measures or not may_change(key)):
            return False
    return True
