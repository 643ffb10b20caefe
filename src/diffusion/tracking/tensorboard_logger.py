"""TensorBoard: a file of events in the run folder."""

import logging
import shlex
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image

from diffusion.runs.redaction import redact, redact_values
from diffusion.tracking.history import LoggedMetrics, logged_before
from diffusion.tracking.loggers import Logger
from diffusion.tracking.panels import panel_name, picture_name

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

log = logging.getLogger(__name__)


class TensorBoardLogger(Logger):
    """Writes metrics, pictures, settings and alerts to tensorboard/ in the run folder, over the number of steps.

    Each start writes a new file, which holds all that the folder does of the steps before it: so no step comes twice
    and none is missing, whatever was killed, and whichever logger the run had before.
    """

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise ValueError('logger=tensorboard needs its package; type: pip install -e ".[tensorboard]"')

    def start(
        self, folder: Path, *, config: dict[str, Any], provenance: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._folder, self._caught_up = folder, False
        place = folder / "tensorboard"
        place.mkdir(parents=True, exist_ok=True)
        earlier = list(place.glob("events.out.tfevents.*"))
        # SummaryWriter's own file is written by a thread, which prints a traceback where the disk is full.
        self._writer = RecordWriter((place / f"events.out.tfevents.{time.time_ns()}").open("wb"))
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(session_log=SessionLog(status=SessionLog.START)))  # a page that is open forgets what it read
        for file in earlier:
            file.unlink()
        for title, facts in {"config": config, "provenance": dict(provenance or {})}.items():
            self._text(title, f"```\n{yaml.safe_dump(redact_values(facts), sort_keys=False)}```", 0)
        self._writer.flush()
        log.info("TensorBoard: tensorboard --logdir %s", shlex.quote(str(place)))

    def log(self, step: int, values: Mapping[str, float], panel: str | None = None) -> None:
        from torch.utils.tensorboard import summary

        self._catch_up(step)
        for name, value in values.items():
            if name != "step":
                self._add(summary.scalar(panel_name(name, panel), value), step)
        self._writer.flush()

    def images(self, step: int, name: str, picture: "np.ndarray | Path", caption: str) -> None:
        from torch.utils.tensorboard import summary

        self._catch_up(step)
        if isinstance(picture, Path):
            with Image.open(picture) as image:
                picture = np.asarray(image.convert("RGB"))
        self._add(summary.image(picture_name(name), picture, dataformats="HWC"), step)
        self._text(picture_name(name), caption, step)
        self._writer.flush()

    def alert(self, title: str, text: str) -> None:
        self._text(f"alerts/{title}", redact(text), 0)
        self._writer.flush()

    def finish(self, exit_code: int = 0) -> None:
        self._catch_up(float("inf"))
        self._writer.close()

    def _catch_up(self, before: float) -> None:
        """Write, once, the steps below `before` that the run folder has."""
        if not self._caught_up:
            self._caught_up = True
            for entry in logged_before(self._folder, before):
                self.log(*entry) if isinstance(entry, LoggedMetrics) else self.images(*entry)

    def _text(self, name: str, text: str, step: int) -> None:
        from torch.utils.tensorboard import summary

        self._add(summary.text(name, text), step)

    def _add(self, what: "Summary", step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(Event(step=step, summary=what))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())
