"""Weights & Biases as an observer of a run: offline, broken, frozen or absent, it never stops the training."""

import logging
import math
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion.runs.metrics import best
from diffusion.runs.redaction import redact, redact_values
from diffusion.tracking.history import LoggedMetrics, logged_before
from diffusion.tracking.loggers import Logger
from diffusion.tracking.panels import panel_name, picture_name
from diffusion.tracking.service import Service
from diffusion.tracking.wandb_run import check_mode, open_run, run_id

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


class WandbLogger(Logger):
    """Sends metrics and pictures to W&B. Each step is one row, over the number of images seen.

    `mode` is online, offline or disabled; None asks WANDB_MODE, then goes online if there is a valid key, else offline.
    `artifacts` uploads every checkpoint too. A row is sent with the first call for a later step, or with `finish`. The
    run's summary holds the last values, and the best ones under best/. The exact record of a run is `MetricsFile`.
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
        artifacts: bool = False,
    ) -> None:
        check_mode(mode)
        self.mode, self.artifacts = mode, artifacts
        self._about = redact_values(dict(project=project, entity=entity, group=group, tags=tags, notes=notes))
        self._run: Any = None  # of W&B
        self._service: Service | None = None  # once there is a run

    def start(
        self,
        folder: Path,
        *,
        name: str,
        config: dict[str, Any],
        resume: bool,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the W&B run whose id `folder` holds if `resume`, else a new one; log in one line where it is.

        `provenance` is what `record_provenance` returned. Keys and passwords in any of these are not sent.
        """
        if (self.mode or os.environ.get("WANDB_MODE")) == "disabled":
            return
        self._folder, provenance = folder, dict(provenance or {})
        self._id, continued = run_id(folder / "wandb.json", resume=resume)
        self._run = open_run(
            self.mode,
            commit=provenance.get("commit"),
            id=self._id,
            dir=folder,
            name=redact(name),
            config={**redact_values(config), "provenance": provenance},
            **self._about,
        )
        self._bests: dict[str, float] = {}
        self._caught_up, self._last_step = False, -1
        if self._run is not None:
            self._service = Service(self._on_silence)
            self._begin(continued)
            self._service.make(self._save_provenance)

    def _begin(self, continued: bool) -> None:
        """Say where the run is, and find the last step that W&B has."""
        online = not self._run.offline
        log.info("W&B: %s", self._run.url if online else f"offline, upload with: {self.upload}")
        if online:
            self._last_step = self._run.starting_step - 1
        elif continued:  # W&B cannot be asked, but it was sent all that was logged before.
            self._last_step = max((entry.step for entry in logged_before(self._folder, math.inf)), default=-1)

    @property
    def upload(self) -> str:
        """What to type to upload the run, with all its starts."""
        return f"wandb sync --include-online {shlex.quote(str(self._folder / 'wandb'))}/*run-*-{self._id}"

    def log(self, step: int, values: Mapping[str, float], panel: str | None = None) -> None:
        """Add metrics to the row of `step`, whose images are its x: in `panel`, or each in the panel of its kind."""
        if self._service:
            self._catch_up(step)
            self._service.make(self._add, step, panel_row(values, panel))

    def images(self, step: int, name: str, picture: "np.ndarray | Path", caption: str) -> None:
        """Add a picture, uint8 (H, W, C) or a file, to the row of `step`, under samples/ unless `name` has a slash."""
        if self._service:
            self._catch_up(step)
            self._service.make(self._add, step, picture_row(name, picture, caption))

    def checkpoint(self, path: Path, step: int) -> None:
        """Upload a checkpoint as the newest version of the artifact checkpoint-ID, if `artifacts` are wanted."""
        if self._service and self.artifacts:
            import wandb

            artifact = wandb.Artifact(f"checkpoint-{self._id}", "model", metadata={"step": step})
            # W&B copies the file, which may be deleted before it is uploaded; its cache needs no second copy.
            artifact.add_file(str(path), skip_cache=True)
            self._service.make(self._upload, artifact, step)

    def alert(self, title: str, text: str) -> None:
        """Notify whoever watches the run."""
        if self._service:
            self._service.make(self._run.alert, title, redact(text))

    def finish(self, exit_code: int = 0) -> None:
        """Close the run; nothing is sent after it."""
        if self._service:
            try:
                self._catch_up(math.inf)
            finally:
                self._service.make(self._finish, exit_code)
                self._service.close()
                self._service = None

    def _catch_up(self, before: float) -> None:
        """Have the steps below `before` sent, once, that the folder has and W&B has not, as after a kill."""
        if self._caught_up or not self._service:
            return
        self._caught_up = True
        for entry in logged_before(self._folder, before):
            if isinstance(entry, LoggedMetrics):
                self._service.make(self._add, entry.step, panel_row(entry.values, entry.panel))
            elif entry.step > self._last_step:
                row = picture_row(entry.name, entry.picture, entry.caption)
                self._service.make(self._add, entry.step, row)

    def _on_silence(self) -> None:
        log.warning(
            "W&B's service does not answer, and is ended; upload what it wrote with: %s; later rows are in %s",
            self.upload, self._folder / "metrics.jsonl",
        )  # fmt: skip

    def _save_provenance(self) -> None:
        for file in (self._folder / "provenance.json", *self._folder.glob("code*.diff")):
            if file.exists():
                # A copy of its own, since W&B says a line about every link that it makes.
                self._run.save(shutil.copy(file, self._run.dir), base_path=self._run.dir, policy="now")

    def _upload(self, artifact: Any, step: int) -> None:
        self._run.log_artifact(artifact, aliases=["latest", f"step_{step}"])

    def _add(self, step: int, row: dict[str, Any]) -> None:
        # A run resumed from an older checkpoint repeats steps that W&B has already.
        if step > self._last_step:
            self._run.log({"step": step, **row}, step=step)
        if better := improved(row, self._bests):
            self._bests |= better
            self._run.summary.update(better)

    def _finish(self, exit_code: int) -> None:
        try:
            self._run.finish(exit_code=exit_code)
        except TimeoutError:
            log.warning("W&B did not take everything in time; upload the rest with: %s", self.upload)


def panel_row(values: Mapping[str, float], panel: str | None) -> dict[str, float]:
    """Metrics as W&B is told them."""
    return {panel_name(name, panel): value for name, value in values.items()}


def picture_row(name: str, picture: "np.ndarray | Path", caption: str) -> dict[str, Any]:
    """A picture as W&B is told it."""
    import wandb

    source = str(picture) if isinstance(picture, Path) else picture
    return {picture_name(name): wandb.Image(source, caption=caption)}


def improved(row: Mapping[str, Any], before: Mapping[str, float]) -> dict[str, float]:
    """The losses and measures of quality in a row of W&B keys, as best/KEY, that are better than those `before`."""
    graded = {f"best/{key}": key for key in row if key.startswith(("loss/", "quality/"))}
    bests = {name: best(key.partition("/")[2], [row[key], before.get(name, math.nan)]) for name, key in graded.items()}
    return {name: value for name, value in bests.items() if value is not None and value != before.get(name)}
