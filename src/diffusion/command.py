"""The command line: Hydra around a main function, and one clear line for whatever a user got wrong."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from diffusion.config import known_keys, register

SHOW_WHOLE = os.environ.get("HYDRA_FULL_ERROR") == "1"

Main = Callable[[DictConfig], int | None]


def command(script: str) -> Callable[[Main], Callable[[], None]]:
    """Make `main(config)` the command of `script`: conf/<its name>.yaml beside it is its configuration.

    A ValueError or OSError, or what Hydra refuses, becomes one line on stderr and exit code 1; with
    HYDRA_FULL_ERROR=1 it is shown whole. What `main` returns is the exit code. In a sweep a run that fails says so and
    the others go on; a signal ends them all.
    """
    path = Path(script).resolve()
    failed: list[str] = []

    def decorate(main: Main) -> Callable[[], None]:
        @hydra.main(version_base="1.3", config_path=str(path.parent / "conf"), config_name=path.stem)
        def run(config: DictConfig) -> None:
            hydra_config, code = HydraConfig.get(), None
            try:
                with clear_errors(path.stem), no_empty_folder(Path(hydra_config.runtime.output_dir)), own_log():
                    check_known(config)
                    code = main(config)
            except SystemExit as end:
                if hydra_config.mode != RunMode.MULTIRUN or not isinstance(end.code, str):
                    raise
                print(end.code, file=sys.stderr)
                failed.append(hydra_config.job.override_dirname)
            if code:
                sys.exit(code)

        def entry() -> None:
            register()
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print in several lines
            with clear_errors(path.stem):
                run()
            if failed:
                sys.exit(f"{path.stem}: {len(failed)} of the sweep's runs failed: {'; '.join(failed)}")

        return entry

    return decorate


@contextmanager
def own_log() -> Iterator[None]:
    """End a run's log with the run, or what a sweep says between two runs would go there too."""
    try:
        yield
    finally:
        for handler in [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]:
            logging.getLogger().removeHandler(handler)
            handler.close()


@contextmanager
def no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove a folder if nothing came to lie in it."""
    try:
        yield
    finally:
        if folder != Path.cwd():
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def clear_errors(name: str) -> Iterator[None]:
    """End the program with one line where a user's mistake would end it with a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError, HydraException, OmegaConfBaseException, torch.cuda.OutOfMemoryError) as error:
        if SHOW_WHOLE:
            raise
        sys.exit(f"{name}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """What went wrong and what to type, in one line."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "the GPU has too little memory; set a smaller train.microbatch, 'model.checkpoint=[...]', or batch_size"
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ValueError | OSError | HydraException):
        return one_line(error.__cause__)  # what the constructor said, without Hydra's words around it
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    if isinstance(error, MissingConfigException):
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"there is no {group or 'configuration'} {option}; there are {', '.join(error.options or [])}"
    cause = error.__cause__ if isinstance(error, HydraException) and error.__cause__ else error
    if isinstance(cause, OmegaConfBaseException):
        return setting_error(cause)
    return " ".join(str(error).split())


def setting_error(error: OmegaConfBaseException) -> str:
    """What OmegaConf refused: an unknown key, a value of a wrong type, or no value."""
    key, problem = error.full_key or error.key, str(error.msg or error).splitlines()[0]
    if isinstance(error, MissingMandatoryValue):
        return f"{key} has no value; give it one: {key}=..."
    if isinstance(error, ValidationError):
        hint = f"; give a list: '{key}=[...]'" if "is not a ListConfig" in problem else ""
        return f"{key}: {problem}{hint}"
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return unknown(str(key))
    return problem


def check_known(config: DictConfig) -> None:
    """Refuse what +key=value put beside the known settings, where nothing would read it."""
    root = OmegaConf.get_type(config)
    assert root is not None, "every root has a schema"
    known = {field.name for field in dataclasses.fields(root)}
    for key in config:
        if key not in known:
            raise ValueError(unknown(str(key)))


def unknown(key: str) -> str:
    nearest = difflib.get_close_matches(key.rpartition(".")[2], known_keys(), n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "--cfg job lists what there is"
    return f"there is no setting {key}; {hint}"
