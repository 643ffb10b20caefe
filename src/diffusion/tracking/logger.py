"""Weights & Biases as an observer: offline, broken or absent, it never makes the training wait or die."""

from __future__ import annotations

import logging
import math
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion.runs.redaction import redact, redact_values
from diffusion.tracking.continuation import (
    last_recorded,
    logged_before,
    mend_parts,
    new_identity,
    read_identity,
    write_identity,
)
from diffusion.tracking.panels import Bests, panel_name
from diffusion.tracking.wandb_run import check_mode, first_line, open_run

if TYPE_CHECKING:
    import numpy as np
    from wandb import Run

console = logging.getLogger(__name__)


class WandbLogger:
    """Sends metrics and pictures to W&B. Each step is one row, over the number of images seen.

    `mode` is online, offline or disabled; None asks WANDB_MODE, then goes online if there is a valid key, else offline.
    `artifacts` uploads every checkpoint too. A row leaves with the first call for a later step, or with `finish`. A run
    that goes on first sends what W&B misses of it. Its summary holds the last values, and the best ones under best/.
    The exact record of a run is `MetricsFile`.
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
        self._run: Run | None = None
        self._warned = False

    def start(
        self,
        folder: Path,
        *,
        name: str,
        config: dict[str, Any],
        resume: bool,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Opens the run that `folder` remembers if `resume`, else a new one; says in one line where it is.

        `provenance` is what `provenance.keep` found. Keys and passwords in any of these are not sent.
        """
        if (self.mode or os.environ.get("WANDB_MODE")) == "disabled":
            return
        self._folder, self._file = folder, folder / "wandb.json"
        identity = read_identity(self._file) if resume else new_identity()
        self._id, earlier = identity.id, []
        with self._unharmed():
            earlier = mend_parts(folder, identity.id)
            write_identity(self._file, identity._replace(step=None))  # unknown for as long as the run is open
        made_by = dict(provenance or {})
        begun = open_run(
            self.mode,
            commit=made_by.get("commit"),
            id=self._id,
            dir=folder,
            name=redact(name),
            config={**redact_values(config), "provenance": made_by},
            **self._about,
        )
        if begun is None:
            return
        self._run, online = begun
        self._bests = Bests()
        self._up_to_date = False
        if online:
            self._seen = self._run.starting_step - 1
        else:
            self._seen = last_recorded(earlier) if identity.step is None else identity.step
        self._step = self._seen
        console.info("W&B: %s", self._run.url if online else f"offline, upload with: {self.upload}")
        with self._unharmed():
            self._send_provenance()

    @property
    def upload(self) -> str:
        """What to type to upload the run, all its parts."""
        return f"wandb sync --include-online {shlex.quote(str(self._folder / 'wandb'))}/*run-*-{self._id}"

    def log(self, step: int, values: Mapping[str, float], panel: str | None = None) -> None:
        """Adds metrics to the row of `step`; `values["images"]` is its place on the x-axis.

        They are shown in `panel`, or else each in the panel of its kind.
        """
        self._add(step, {panel_name(name, panel): value for name, value in values.items()})

    def images(self, step: int, name: str, picture: np.ndarray | Path, caption: str) -> None:
        """Adds a picture, uint8 (H, W, C) or a file, to the row of `step`, under samples/ unless `name` says where."""
        if self._run is not None:
            with self._unharmed():
                import wandb

                shown = str(picture) if isinstance(picture, Path) else picture
                key = name if "/" in name else f"samples/{name}"
                self._add(step, {key: wandb.Image(shown, caption=caption)})

    def checkpoint(self, path: Path, step: int) -> None:
        """Uploads a checkpoint as the newest version of the artifact checkpoint-ID, if `artifacts` are wanted."""
        if self._run is not None and self.artifacts:
            with self._unharmed():
                import wandb

                artifact = wandb.Artifact(f"checkpoint-{self._id}", "model", metadata={"step": step})
                # W&B copies the file, which may be deleted before it is uploaded; its cache needs no second copy.
                artifact.add_file(str(path), skip_cache=True)
                self._run.log_artifact(artifact, aliases=["latest", f"step_{step}"])

    def alert(self, title: str, text: str) -> None:
        """Notifies whoever watches the run."""
        if self._run is not None:
            with self._unharmed():
                self._run.alert(title, redact(text))

    def finish(self, exit_code: int = 0) -> None:
        """Closes the run; nothing is sent after it."""
        if self._run is None:
            return
        self._catch_up(math.inf)
        run, self._run = self._run, None
        with self._unharmed():
            try:
                run.finish(exit_code=exit_code)
            except TimeoutError:
                console.warning("W&B did not take everything in time; upload the rest with: %s", self.upload)
        if not self._warned:
            with self._unharmed():
                write_identity(self._file, read_identity(self._file)._replace(step=self._step))

    def _add(self, step: int, row: dict[str, Any]) -> None:
        self._catch_up(step)
        if self._run is None:
            return
        with self._unharmed():
            # A run resumed from an older checkpoint repeats steps that W&B has already.
            if step > self._seen:
                self._run.log({"step": step, **row}, step=step)
                self._step = step
            if better := self._bests.improved(row):
                self._run.summary.update(better)

    def _catch_up(self, before: float) -> None:
        """Sends what the folder has from before this start and W&B has not, as when a process was killed."""
        if self._run is None or self._up_to_date:
            return
        self._up_to_date = True
        with self._unharmed():
            for step, lines, pictures in logged_before(self._folder, before):
                for line in lines:
                    self.log(step, line, panel=None if "loss" in line else "quality")
                for name, path in pictures.items() if step > self._seen else ():
                    self.images(step, name, path, f"step {step}, {name}")

    def _send_provenance(self) -> None:
        for file in (self._folder / "provenance.json", *self._folder.glob("code*.diff")):
            if self._run is not None and file.exists():
                # A copy of its own, since W&B says a line about every link that it makes.
                copy = shutil.copy(file, self._run.dir)
                self._run.save(copy, base_path=self._run.dir, policy="now")

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._warned:
                console.warning("Training goes on, but W&B misses records: %s", first_line(error))
            self._warned = True
