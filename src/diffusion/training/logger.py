"""Weights & Biases as an observer: offline, broken or absent, it never makes the training wait or die."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion.training.metrics import replace_text

if TYPE_CHECKING:
    import numpy as np
    from wandb import Run

console = logging.getLogger(__name__)

INIT_TIMEOUT = 20  # seconds for the server to answer before the run goes offline
FINISH_TIMEOUT = 60  # seconds for the last uploads; what is left can be uploaded later with `wandb sync`

PANELS = (  # the first pattern that fits a metric's whole name says where it is shown
    ("", r"step|images|.*/.*"),
    ("loss_quartile/", r".*_q[0-3]"),
    ("optimizer/", r"lr|loss_scale|skipped_steps|.*_norm"),
    ("speed/", r".*_per_.*|memory.*"),
    ("loss/", r".*"),
)


def panel_name(metric: str) -> str:
    """The W&B key of a metric, whose first part is its panel: mse -> loss/mse, mse_q0 -> loss_quartile/mse_q0."""
    return next(panel + metric for panel, pattern in PANELS if re.fullmatch(pattern, metric))


class WandbLogger:
    """Sends metrics and pictures to W&B. Each step is one row, over the number of images seen.

    `mode` is online, offline or disabled; None asks WANDB_MODE, then goes online if there is a valid key, else offline.
    A row leaves with the first call for a later step, or with `finish`. The exact record of a run is `MetricsFile`.
    """

    def __init__(
        self,
        *,
        mode: str | None = None,
        project: str = "diffusion",
        entity: str | None = None,
        group: str | None = None,
        tags: tuple[str, ...] = (),
        notes: str | None = None,
    ) -> None:
        if mode not in (None, "online", "offline", "disabled"):
            raise ValueError(f"logger.mode={mode} is unknown; use online, offline, disabled or null")
        self.mode = mode
        self._about: dict[str, Any] = dict(project=project, entity=entity, group=group, tags=tags, notes=notes)
        self._run: Run | None = None
        self._warned = False

    def start(self, folder: Path, *, name: str, config: dict[str, Any], resume: bool) -> None:
        """Opens the run that `folder` remembers if `resume`, else a new one; says in one line where it is."""
        if (self.mode or os.environ.get("WANDB_MODE")) == "disabled":
            return
        self._file = folder / "wandb.json"
        self._id, self._seen = read_identity(self._file) if resume else (new_id(), -1)
        self._step = self._seen
        with self._unharmed():
            self._remember()
        for mode, otherwise in (("online", "offline"), ("offline", "off")):
            if mode == "online" and not self._is_online():
                continue
            try:
                self._run = self._init(mode, dir=folder, name=name, config=config)
            except Exception as error:
                console.warning("W&B cannot start %s, so %s: %s", mode, otherwise, first_line(error))
                self._forget_failure()
            else:
                console.info("W&B: %s", self._run.url if mode == "online" else upload_hint(self._run))
                return

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Adds metrics to the row of `step`; `values["images"]` is its place on the x-axis."""
        self._add(step, {panel_name(name): value for name, value in values.items()})

    def images(self, step: int, name: str, picture: np.ndarray, caption: str) -> None:
        """Adds a uint8 (H, W, C) picture to the row of `step`, under samples/ unless `name` says where."""
        if self._run is not None:
            with self._unharmed():
                import wandb

                key = name if "/" in name else f"samples/{name}"
                self._add(step, {key: wandb.Image(picture, caption=caption)})

    def alert(self, title: str, text: str) -> None:
        """Notifies whoever watches the run."""
        if self._run is not None:
            with self._unharmed():
                self._run.alert(title, text)

    def finish(self, exit_code: int = 0) -> None:
        """Closes the run; nothing is sent after it."""
        if self._run is not None:
            run, self._run = self._run, None
            with self._unharmed():
                run.finish(exit_code=exit_code)
                self._remember()

    def _add(self, step: int, row: dict[str, Any]) -> None:
        # A run resumed from an older checkpoint repeats steps that W&B has already.
        if self._run is not None and step > self._seen:
            with self._unharmed():
                self._run.log({"step": step, **row}, step=step)
                self._step = step

    def _is_online(self) -> bool:
        wanted = self.mode or os.environ.get("WANDB_MODE")
        if wanted in ("offline", "dryrun"):
            return False
        try:
            import wandb

            wandb.setup(wandb.Settings(silent=True, mode="online"))
            logged_in = wandb.login(prompt=False)
        except Exception as error:
            console.warning("W&B does not log in, so offline: %s", first_line(error))
            return False
        if wanted and not logged_in:
            console.warning("W&B cannot be %s without a key, so offline; log in with: wandb login", wanted)
        return logged_in

    def _init(self, mode: Any, **about: Any) -> Run:
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=INIT_TIMEOUT,
            finish_timeout=FINISH_TIMEOUT,
            allow_val_change=True,  # a resumed run may have another max_steps
        )
        run = wandb.init(
            mode=mode, id=self._id, resume="allow", reinit="finish_previous", settings=settings, **self._about, **about
        )
        run.define_metric("*", step_metric="images")
        return run

    def _forget_failure(self) -> None:
        """Stops W&B's service, which keeps the id of a run that failed to start as being in use."""
        with suppress(Exception):
            import wandb

            wandb.teardown()

    def _remember(self) -> None:
        replace_text(self._file, json.dumps({"id": self._id, "step": self._step}))

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._warned:
                console.warning("Training goes on, but W&B misses records: %s", first_line(error))
            self._warned = True


def read_identity(file: Path) -> tuple[str, int]:
    """The id of the run in W&B and the last step it has; a new id if the folder holds none."""
    try:
        identity = json.loads(file.read_text())
        return identity["id"], identity["step"]
    except (OSError, ValueError, KeyError):
        return new_id(), -1


def new_id() -> str:
    return secrets.token_hex(8)


def upload_hint(run: Run) -> str:
    return f"offline, upload with: wandb sync {Path(run.dir).parent}"


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
