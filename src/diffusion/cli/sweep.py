"""A sweep as Hydra tells of it: which runs it had, how they ended, and the table and the page at its end."""

import json
import logging
import signal
import sys
import time
from contextlib import nullcontext, suppress
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from diffusion.cli import sweep_worker
from diffusion.compute import distributed
from diffusion.report.page import write_page
from diffusion.runs import naming, status
from diffusion.runs.files import atomic_write_text, lock_folder
from diffusion.runs.metrics import lower_is_better, objective_value
from diffusion.runs.redaction import redact

WITHOUT_A_WORD = "it ended without a word"


class FailedRun(NamedTuple):
    """What a run returns that "failed" or was "stopped", so that the others go on."""

    state: str
    message: str


class Note(NamedTuple):
    """What is known of one of the sweep's runs: "running" until it tells more."""

    job: int
    folder: str
    state: str
    message: str


class Sweep(Callback):
    """Notes each run where it runs, which may be another machine, and shows all of them where the sweep was started."""

    current: ClassVar["Sweep | None"] = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        searches = "optuna" in config.hydra.sweeper._target_
        if searches:
            quiet_optuna()
        if not distributed.is_leader():
            return
        if searches and config.objective is None:
            sys.exit("train: Optuna does not know what to make small; set objective=loss, or another logged metric")
        try:
            check_folders(config)
        except ValueError as error:
            sys.exit(f"train: {error}")  # Hydra would only warn of an error here.
        self.folder = Path(config.hydra.sweep.dir).absolute()
        self.objective, self.maximize = config.objective, maximizes(config)
        self.page = Path(config.runs).absolute() / f"{self.folder.name}.html"
        varied = [str(each.input_line) for each in overrides_of(config).values() if each.is_sweep_override()]
        self.title = redact(f"Sweep over {' · '.join(varied)}") if varied else self.folder.name
        self.notes = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)
        if "joblib" in config.hydra.launcher._target_:
            signal.signal(signal.SIGINT, sweep_worker.ignore_first_interrupt)
        self.jobs_live_on = "submitit" in config.hydra.launcher._target_
        Sweep.current = self

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        self.note(config, "running")
        kept = Path(config.hydra.sweep.dir) / "multirun.yaml"  # Hydra's copy of the command line
        if kept.exists() and redact(text := kept.read_text()) != text:
            atomic_write_text(kept, redact(text))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        returned = job_return.return_value if job_return.status == JobStatus.COMPLETED else None
        state, message = returned if isinstance(returned, FailedRun) else ("finished", "")
        self.note(config, state, message)
        if state == "failed":
            record_failure(config, message)

    def note(self, config: DictConfig, state: str, message: str = "") -> None:
        if hasattr(self, "notes") and distributed.is_leader():
            note = Note(config.hydra.job.num, config.hydra.runtime.output_dir, state, redact(message))
            with self.notes.open("a") as file:
                file.write(json.dumps(note) + "\n")

    def runs(self) -> list[Note]:
        """The last note on each run, in the order of the sweep."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        last = {note.job: note for note in (Note(*json.loads(line)) for line in lines)}
        return [final_note(last[job]) for job in sorted(last)]

    def show(self) -> list[str]:
        """Print the table of the runs and where their page lies; the states of all of them."""
        runs = self.runs()
        folders = list(dict.fromkeys(Path(run.folder) for run in runs if Path(run.folder).is_dir()))
        for run in runs:
            if run.message == WITHOUT_A_WORD:
                mark_dead_run(Path(run.folder), may_live=self.jobs_live_on)
        if folders:
            print(f"\n{write_page(folders, self.page, self.title)}\n")
        for run in runs:
            if run.state == "failed":
                print(f"Failed: {run.folder}: {run.message}", file=sys.stderr)
        if best := best_line(runs, self.objective, maximize=self.maximize):
            print(best)
        if folders:
            print(f"The sweep's page: {self.page}", flush=True)
        return [run.state for run in runs]


def quiet_optuna() -> None:
    """Keep to itself what Optuna says, in colour, of its study, and its plugin of a run that has said why it failed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plugin = logging.getLogger("hydra_plugins.hydra_optuna_sweeper._impl")
    plugin.addFilter(lambda record: "Got 'FailedRun(" not in record.getMessage())


def overrides_of(config: DictConfig) -> dict[str, Override]:
    """What the sweep was asked for, by its keys: the axes of the experiment, or of the command line before them."""
    written: Any = OmegaConf.to_container(config.hydra, resolve=False)
    params = [f"{key}={value}" for key, value in (written["sweeper"].get("params") or {}).items()]
    overrides = OverridesParser.create().parse_overrides(params + written["overrides"]["task"])
    return {override.key_or_group: override for override in overrides}


def check_folders(config: DictConfig) -> None:
    """Raise ValueError unless each run of a sweep can have a folder of its own."""
    written: Any = OmegaConf.to_container(config, resolve=False)
    chosen = overrides_of(config)
    varied = {key for key, override in chosen.items() if override.is_sweep_override()}
    if "runs" not in varied:
        naming.check_runs(str(chosen["runs"].value() if "runs" in chosen else written["runs"]))
    name = str(chosen["name"].value() if "name" in chosen else written["name"])
    if "name" in varied or "${" in name:  # then it is one for each run
        return
    naming.check_name(name)
    several = bool(varied) or (OmegaConf.select(config, "hydra.sweeper.n_trials") or 1) > 1
    if several and "runs" not in varied:
        raise ValueError(
            f"name={name} would be one folder for all runs of the sweep; leave it out, and each is named by "
            f"what varies; runs={name} keeps them together"
        )


def maximizes(config: DictConfig) -> bool:
    """True if the sweeper, or else the meaning of the objective, wants it large."""
    direction = OmegaConf.select(config, "hydra.sweeper.direction")
    if direction is None:
        return config.objective is not None and lower_is_better(config.objective) is False
    return getattr(direction, "name", direction) == "maximize"


def best_line(runs: list[Note], objective: str | None, *, maximize: bool) -> str | None:
    """What the best finished run reached and where it lies; None if none has a finite number of that name."""
    found = []
    for run in runs:
        with suppress(ValueError, OSError):
            value = objective_value(Path(run.folder), objective) if run.state == "finished" else None
            if value is not None and isfinite(value):
                found.append((value, run.folder))
    if not found:
        return None
    value, folder = (max if maximize else min)(found, key=lambda one: one[0])
    return f"Best objective: {objective}={value:.6g} in {folder}"


def final_note(note: Note) -> Note:
    """The note on a run that has ended, if it was killed before it could tell."""
    if note.state != "running":
        return note
    if status.read_status(Path(note.folder)).get("state") == "stopped":
        return note._replace(state="stopped")
    return note._replace(state="failed", message=WITHOUT_A_WORD)


def mark_dead_run(folder: Path, *, may_live: bool) -> None:
    """Keep in a run's folder that it failed, if it tells that the run is still running.

    A run that may live on without this process is left alone where it still holds its folder.
    """
    told = status.read_status(folder)
    if told.get("state") == "running":
        with suppress(ValueError, OSError), lock_folder(folder) if may_live else nullcontext():
            status.write_status(folder, "failed", max_steps=told.get("max_steps"), message=WITHOUT_A_WORD)


def record_failure(config: DictConfig, message: str) -> None:
    """Leave in the folder of a run that failed before it began what the table is made of."""
    folder = Path(config.hydra.runtime.output_dir)
    if not (folder / status.STATUS_FILE).exists() and not (folder / "config.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        settings = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        atomic_write_text(folder / "config.yaml", redact(OmegaConf.to_yaml(settings)))
        status.write_status(folder, "failed", message=message)
