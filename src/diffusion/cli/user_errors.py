"""What a user got wrong, in one line that says what to type."""

import dataclasses
import difflib
import re
import sys
from contextlib import suppress
from pathlib import Path

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from diffusion.cli import help
from diffusion.config import roots
from diffusion.config.schema_source import Root
from diffusion.config.signature import signature
from diffusion.runs.printable import single_line

PLUGINS = ("joblib", "submitit_local", "submitit_slurm", "optuna")  # what the extra "sweep" brings


TOO_LARGE = re.compile("can't allocate memory|Storage size calculation overflowed|Overflow when unpacking")
IN_SETTING = re.compile(r"^\s*full_key: (.+)$", re.MULTILINE)  # which OmegaConf adds to any error that it meets
MOST_LETTERS = 1000


def is_of_user(error: BaseException) -> bool:
    """True for an error that what a user typed or keeps can cause; others are mistakes of this program."""
    kinds = (ValueError, OSError, MemoryError, HydraException, OmegaConfBaseException, torch.cuda.OutOfMemoryError)
    return isinstance(error, kinds) or any(signs.search(str(error)) for signs in (TOO_LARGE, IN_SETTING))


def one_line(error: BaseException) -> str:
    """What went wrong and what to type, in one line that a terminal shows as it is."""
    line = single_line(what_to_say(error))
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS // 2]} ... {line[-MOST_LETTERS // 2 :]}"


def what_to_say(error: BaseException) -> str:
    """What went wrong and what to type."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "the GPU has too little memory; set a smaller train.microbatch, 'model.checkpoint=[...]', or batch_size"
    if isinstance(error, MemoryError) or TOO_LARGE.search(str(error)):
        return "what is asked for does not fit into memory; set smaller sizes, such as batch_size=64 or a smaller model"
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ValueError | OSError | HydraException):
        return what_to_say(error.__cause__)  # what the constructor said, without Hydra's words around it
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    if isinstance(error, MissingConfigException):
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if option in PLUGINS:
            return f'{group}={option} needs a plugin; type: pip install -e ".[sweep]"'
        return f"there is no {group or 'configuration'} {option}; there are " + ", ".join(
            error.options or help.group_options(group, config_folders()) or [f"those in conf/{group}"]
        )
    if several := re.search(r"Ambiguous value for argument '(.*?)'", str(error)):
        return f"'{several[1]}' gives several values; add -m for a run of each, or brackets for a list"
    if two := re.search(r"Merge error: (\w+) is not a subclass of (\w+)", str(error)):
        return f"{two[2]} and {two[1]} cannot be one; name one option, without a list (two loggers: logger=both)"
    cause = error.__cause__ if isinstance(error, HydraException) and error.__cause__ else error
    if isinstance(cause, OmegaConfBaseException):
        return setting_error(cause)
    if setting := IN_SETTING.search(str(error)):
        return f"{setting[1]} cannot take that value; --cfg job shows what it holds"
    return str(error)


def config_folders() -> list[Path]:
    """The folders of YAML files that this program composes its configuration from."""
    hydra = GlobalHydra.instance()
    if hydra.is_initialized():
        sources = hydra.config_loader().get_sources()
        return [Path(source.path) for source in sources if source.scheme() == "file"]
    # A command's Hydra is gone when its error arrives here; the configuration lies beside the command.
    return help.folders_of_command(sys.argv[0], sys.argv[1:])


def setting_error(error: OmegaConfBaseException) -> str:
    """What OmegaConf refused: an unknown key, a value of a wrong type, or no value."""
    key, problem = error.full_key or error.key, str(error.msg or error).splitlines()[0]
    if isinstance(error, MissingMandatoryValue):
        return f"{key} has no value; give it one: {key}=..."
    if isinstance(error, ValidationError) and "is not Optional" in problem:
        return f"{key} cannot be null; give it a value, or leave {key}= out"
    if isinstance(error, ValidationError):
        hint = f"; give a list: '{key}=[...]'" if "is not a ListConfig" in problem else ""
        return f"{key}: {problem}{hint}"
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return unknown_setting(str(key))
    return problem.removeprefix("ValueError raised while resolving interpolation: ")  # by one of our resolvers


def check_known(config: DictConfig, place: str = "") -> None:
    """Refuse what +key=value or ++key=value put beside the known settings, where nothing would read it."""
    kind = OmegaConf.get_type(config)
    known = {field.name for field in dataclasses.fields(kind)} if kind is not None and kind is not dict else None
    for key in config:
        inner = f"{place}.{key!s}".lstrip(".")
        if known is not None and key not in known:
            raise ValueError(unknown_setting(inner))
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            check_known(child, inner)


def check_schemas(config: DictConfig, place: str = "") -> None:
    """Raise ValueError if a class is named in a YAML file without its schema: its settings would not be checked."""
    for key in config:
        child = config._get_node(key)
        inner = f"{place}.{key!s}".lstrip(".")
        if not isinstance(child, DictConfig) or child._is_none() or child._is_missing():
            continue
        if "_target_" in child and OmegaConf.get_type(child) is dict:
            name = str(child["_target_"])
            raise ValueError(
                f"{inner} names the class {name} without its settings; begin its YAML file with "
                f"defaults: [/schema/{name}@_here_, _self_]"
            )
        check_schemas(child, inner)


def unknown_setting(key: str) -> str:
    last = key.rpartition(".")[2]
    nearest = difflib.get_close_matches(last, known_keys() - {last}, n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "--cfg job lists what there is"
    return f"there is no setting {key}; {hint}"


def known_keys() -> set[str]:
    """The name of every setting of the commands, and of every class whose schema a YAML file asks for."""
    commands = [kind for kind in vars(roots).values() if isinstance(kind, type) and issubclass(kind, Root)]
    known = {name for kind in commands for name in getattr(kind, "__dataclass_fields__", ())}
    files = [path for folder in config_folders() for path in folder.rglob("*.yaml")]
    for name in {name for path in files for name in re.findall(r"/schema/([\w.]+)@", path.read_text())}:
        with suppress(ValueError):  # a root, or a class that is not there
            known |= signature(name).settings.keys()
    return known
