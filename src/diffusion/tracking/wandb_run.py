"""Opening a W&B run: online if that works within seconds, else offline, else not at all."""

import json
import logging
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion.runs.files import atomic_write_text
from diffusion.runs.redaction import redact
from diffusion.runs.small_files import read_plain
from diffusion.tracking.loggers import first_line
from diffusion.tracking.service import end_service

if TYPE_CHECKING:
    from wandb import Run

log = logging.getLogger(__name__)

WANDB_MODES = ("online", "offline", "disabled", "dryrun", "run", "shared")  # what W&B takes
INIT_TIMEOUT = 20  # seconds for the server to answer before the run goes offline
FINISH_TIMEOUT = 25  # seconds for the last uploads; what is left can be uploaded later with `wandb sync`


def run_id(file: Path, *, resume: bool) -> tuple[str, bool]:
    """The run's id in W&B: that in `file` if the run resumes, and True; else a new one, written there if that works."""
    if resume and (known := read_plain(file, dict).get("id")):
        return str(known), True
    new = secrets.token_hex(8)
    with suppress(OSError):
        atomic_write_text(file, json.dumps({"id": new}))
    return new, False


def open_run(wanted: str | None, *, commit: str | None, **about: Any) -> "Run | None":
    """The run that `wandb.init` makes of `about`; None, with a warning, if W&B cannot even write files.

    `wanted` is online or offline; None asks WANDB_MODE, then goes online if there is a valid key.
    """
    for mode, otherwise in (("online", "offline"), ("offline", "off")):
        if mode == "offline" or is_online(wanted):
            try:
                return init_run(mode, commit, about)
            except Exception as error:
                log.warning("W&B cannot start %s, so %s: %s", mode, otherwise, first_line(error))
                end_service()  # It holds the id of a run that failed to start as being in use.
    return None


def check_mode(mode: str | None) -> None:
    """ValueError unless `mode` is known here and, if W&B is used, WANDB_MODE is known to W&B, which always reads it."""
    if mode not in (None, "online", "offline", "disabled"):
        raise ValueError(f"logger.mode={mode} is unknown; use online, offline, disabled or null")
    variable = os.environ.get("WANDB_MODE")
    if mode != "disabled" and variable is not None and variable not in WANDB_MODES:
        raise ValueError(
            f"WANDB_MODE={variable} is unknown; use online, offline or disabled, or type: unset WANDB_MODE"
        )


def is_online(mode: str | None) -> bool:
    """True if a run shall be online and W&B has a valid key for it; nobody is asked to type one."""
    wanted = mode or os.environ.get("WANDB_MODE")
    if wanted in ("offline", "dryrun"):
        return False
    try:
        import wandb

        wandb.setup(wandb.Settings(silent=True, mode="online"))
        logged_in = wandb.login(prompt=False)
    except Exception as error:
        log.warning("W&B does not log in, so offline: %s", first_line(error))
        return False
    if wanted and not logged_in:
        log.warning("W&B cannot be %s without a key, so offline; log in with: wandb login", wanted)
    return logged_in


def init_run(mode: Any, commit: str | None, about: dict[str, Any]) -> "Run":
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=INIT_TIMEOUT,
        finish_timeout=FINISH_TIMEOUT,
        finish_timeout_raises=True,
        allow_val_change=True,  # a resumed run may have another max_steps
        disable_git=True,  # the commit is that of this code, not of the folder that the command was typed in
        git_commit=commit,
    )
    wandb.setup(wandb.Settings(silent=True))  # a run's settings do not silence what is said of the service
    arguments = sys.argv
    sys.argv = [redact(word) for word in arguments]  # W&B records this process's command line when it starts.
    try:
        run = wandb.init(mode=mode, resume="allow", reinit="finish_previous", settings=settings, **about)
    finally:
        sys.argv = arguments
    run.define_metric("*", step_metric="images")
    return run
