"""The command line: Hydra around a main function, and one clear line for whatever a user got wrong."""

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from diffusion.cli import sweep_worker
from diffusion.cli.help import answer_help
from diffusion.cli.new_folders import NewFolders
from diffusion.cli.run_log import RunLog
from diffusion.cli.sweep import FailedRun, Sweep
from diffusion.cli.user_errors import check_known, check_schemas, is_of_user, one_line
from diffusion.cli.words import check_words
from diffusion.compute import distributed
from diffusion.config import data_choice
from diffusion.config.resolvers import register_resolvers
from diffusion.config.values import check_command
from diffusion.runs import naming
from diffusion.runs.files import remove_if_empty

HANDLERS = (logging.StreamHandler, RunLog)  # of conf/hydra/job_logging
STOPPED = 128 + signal.SIGINT  # what a shell reports after Ctrl-C
SHOW_WHOLE = os.environ.get("HYDRA_FULL_ERROR") == "1"


class ExitStatus(NamedTuple):
    """How a main function ended: its exit code, and the number that a sweeper makes small."""

    code: int = 0
    objective: float | None = None


Main = Callable[[DictConfig], ExitStatus | None]


def command(script: str) -> Callable[[Main], Callable[[], None]]:
    """Make `main(config)` the command of `script`: conf/<its name>.yaml beside it is its configuration.

    A ValueError or OSError, or what Hydra refuses, becomes one line on stderr and exit code 1; with
    HYDRA_FULL_ERROR=1 it is shown whole. In a sweep a run that fails says so and the others go on; a signal ends them
    all.
    """
    path = Path(script).resolve()
    conf = path.parent / "conf"

    def decorate(main: Main) -> Callable[[], None]:
        def entry() -> None:
            answer_help(script)  # Hydra's own lists every option of every group, and takes seconds.
            if not distributed.is_leader():
                sys.argv.append("hydra/job_logging=warnings")
            run = Command(main, path.stem, naming.sweep_name(sys.argv[1:], data_choice.USUAL))
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print in several lines
            logging.raiseExceptions = False  # A log that cannot be written must not fill the screen with tracebacks.
            with distributed.exit_without_teardown(), report_errors(path.stem), show_sweep_at_end():
                check_words(script, sys.argv[1:])
                hydra.main(version_base="1.3", config_path=str(conf), config_name=path.stem)(run)()

        return entry

    return decorate


class Command:
    """A main function as Hydra calls it, in this process or, in a sweep, in one that a launcher started elsewhere."""

    def __init__(self, main: Main, name: str, sweep: str) -> None:
        self.main, self.name, self.sweep, self.process = main, name, sweep, os.getpid()
        self.show_whole = SHOW_WHOLE  # what this process sets for Hydra, others inherit
        register_resolvers(sweep)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        register_resolvers(self.sweep)  # before Hydra composes there
        sweep_worker.adopt(self.process)
        sweep_worker.join_tasks()

    def __call__(self, config: DictConfig) -> float | FailedRun | None:
        if not distributed.is_leader():
            logging.getLogger().setLevel(logging.WARNING)
        try:
            ended = self.ended(config)
        except (SystemExit, Exception) as error:
            # Of several processes only one may have failed, and the others would wait for it in the next run.
            in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN and not sweep_worker.has_peers_waiting()
            by_signal = isinstance(error, SystemExit) and not isinstance(error.code, str)
            if by_signal and sweep_worker.stop():
                return FailedRun("stopped", "by a signal")
            if by_signal or not in_sweep:
                raise
            return self.failed(error)
        return ended.objective

    def ended(self, config: DictConfig) -> ExitStatus:
        folder = Path(HydraConfig.get().runtime.output_dir)
        with report_errors(self.name, self.show_whole), tidy_up(folder):
            if sweep_worker.is_stopping():
                sys.exit(STOPPED)
            check_known(config)
            check_schemas(config)
            check_command(config)
            ended = self.main(config) or ExitStatus()
        if ended.code:
            sweep_worker.forward_requeue_signal(ended.code)
            sys.exit(ended.code)
        return ended

    def failed(self, error: BaseException) -> FailedRun:
        """Say what went wrong, whole if nobody expected it."""
        if isinstance(error, SystemExit):
            print(error.code, file=sys.stderr)
            return FailedRun("failed", str(error.code).removeprefix(f"{self.name}: "))
        traceback.print_exception(error)
        return FailedRun("failed", f"{type(error).__name__}: {error}".partition("\n")[0])


@contextmanager
def show_sweep_at_end() -> Iterator[None]:
    """Show a sweep's runs when it ends, however it ends. ValueError if one of them failed."""
    states: list[str] = []
    without_best: ValueError | None = None
    try:
        yield
    except ValueError as error:
        # Optuna looks for the best run even if none ended well, and why none did is said below.
        if Sweep.current is None or "No trials are completed" not in str(error):
            raise
        without_best = error
    except RuntimeError as error:
        if Sweep.current is None:
            raise
        raise ValueError(f"a process of the sweep was lost ({' '.join(str(error).split())[:200]})") from error
    finally:
        if Sweep.current is not None:
            states = Sweep.current.show()
    if "stopped" in states:
        sys.exit(STOPPED)
    if failed := states.count("failed"):
        raise ValueError(f"{failed} of the sweep's {len(states)} runs failed; the same command runs what is missing")
    if without_best is not None:
        raise without_best


@contextmanager
def tidy_up(folder: Path) -> Iterator[None]:
    """End a run's log with the run, so that the next run of a sweep does not go on in it; leave no empty folder.

    A run that was refused has nothing but its log, which goes too.
    """
    try:
        yield
    finally:
        logs = []
        for handler in [h for h in logging.getLogger().handlers if type(h) in HANDLERS]:
            logging.getLogger().removeHandler(handler)
            if isinstance(handler, logging.FileHandler) and handler.stream is not None:
                logs.append(Path(handler.baseFilename))
            with suppress(OSError):  # a full disk: what the run came to is said elsewhere
                handler.close()
        if folder != Path.cwd():
            remove_if_empty(folder, logs)
            for place in NewFolders.around(folder):
                remove_if_empty(place)


@contextmanager
def report_errors(name: str, show_whole: bool = SHOW_WHOLE) -> Iterator[None]:
    """End the program with one line where a user's mistake would end it with a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(STOPPED)
    except Exception as error:
        if show_whole or not (is_of_user(error) or distributed.is_peer_loss(error)):
            raise
        if distributed.is_peer_loss(error):
            time.sleep(5)  # until torchrun ends this process, as it does once another has failed
            sys.exit(f"{name}: another process ended, and with it this one")
        whose = "" if distributed.is_leader() else f"process {distributed.rank()}: "
        if whose:  # until torchrun ends this process, if the leader failed too and reports it
            time.sleep(3)
        sys.exit(f"{name}: {whose}{one_line(error)}")
