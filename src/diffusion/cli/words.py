"""The words of a command line before Hydra reads them: what it cannot take, in one line that says what to type."""

import dataclasses
from pathlib import Path
from typing import Any, NoReturn

import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from diffusion.cli import help
from diffusion.cli.flags import told_instead
from diffusion.config import roots
from diffusion.runs.naming import shell_override


def check_words(script: str, words: list[str]) -> None:
    """Raise ValueError for the first word that is no flag of this program and no key=value that it could have."""
    folders = help.folders_of_command(script, words)
    for folder in folders[1:]:
        if not folder.is_dir():
            raise ValueError(f"--config-dir {folder} is no folder; give one with groups, such as DIR/model/mine.yaml")
    parser = get_args_parser()
    parser.allow_abbrev, parser.error = False, refuse_flags  # type: ignore[method-assign]
    known, others = parser.parse_known_args(words)
    for word in others:
        raise ValueError(flag_error(script, word, words))
    for word in known.overrides:
        check_override(script, word, folders)


def refuse_flags(message: str) -> NoReturn:
    """In place of argparse's own, which prints how every flag is used."""
    raise ValueError(f"{message}; --help shows what there is")


def flag_error(script: str, word: str, words: list[str]) -> str:
    """What to type instead of a flag of another program, or of a setting that a flag parts from the others."""
    if not word.startswith("-"):
        return f"{word} is apart from the other settings; put flags such as -m before or behind all of them"
    flag, _, value = word.partition("=")
    following = words[words.index(word) + 1 :][:1]
    value = value or "".join(each for each in following if each[:1] != "-" and "=" not in each)
    key = flag.lstrip("-").replace("-", "_")
    if here := told_instead(key, value, script):
        return f"there is no flag {flag}; docs/flags.md says what to type: {here}"
    root = getattr(roots, f"{Path(script).stem.capitalize()}Config")
    is_setting = key in {field.name for field in dataclasses.fields(root)}
    example = shell_override(key, value or "...") if is_setting else "seed=1"
    return f"there is no flag {flag}; settings are typed key=value, such as {example}, and --help lists them"


def check_override(script: str, word: str, folders: list[Path]) -> None:
    """Raise ValueError for a word that sets nothing, deletes, or chooses what cannot be an option of its group."""
    key, equals, value = word.partition("=")
    if not key or not (equals or key.startswith("~")):
        raise ValueError(bare_word_error(script, word, folders))
    try:
        override = OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError) as error:
        reason = " ".join(str(error.__cause__ or error).partition("See https")[0].split())
        raise ValueError(f"{word} cannot be read ({reason}); in quotes it is {shell_override(key, value)}") from None
    group = override.key_or_group
    if override.is_delete() and not group.startswith("hydra"):
        raise ValueError(f"{word} would delete a setting, and the program reads them all; leave {word} out")
    if any((folder / group).is_dir() for folder in folders) and not may_choose(override):
        options = ", ".join(help.group_options(group, folders))
        raise ValueError(f"there is no {group} {value or 'without a name'}; there are {options}")
    names = chosen(override)
    if len(names) > 1 and (folders[0] / group).is_dir() and group not in groups_of_several(script, folders[0]):
        two = " (two loggers: logger=both)" * (group == "logger")
        raise ValueError(f"{word} names {len(names)} options, and {group} is one; type {group}={names[0]}{two}")


def groups_of_several(script: str, conf: Path) -> set[str]:
    """The groups of which a script takes a list of options: those that have a list by default."""
    defaults = yaml.safe_load((conf / f"{Path(script).stem}.yaml").read_text(encoding="utf-8"))["defaults"]
    named = [item for entry in defaults if isinstance(entry, dict) for item in entry.items()]
    return {group for group, options in named if isinstance(options, list)}


def may_choose(override: Override) -> bool:
    """Whether a value can name options of a group."""
    return all(isinstance(one, str) and one for one in chosen(override))


def chosen(override: Override) -> list[Any]:
    """The values that a word gives in brackets, or the one; [] of a sweep, and of what deletes."""
    if override.is_delete() or override.is_sweep_override():
        return []
    value = override.value()
    return value if isinstance(value, list) else [value]


def bare_word_error(script: str, word: str, folders: list[Path]) -> str:
    """What to type instead of a word without a key: one that names an option of a group, or a checkpoint."""
    files = [path.relative_to(folder) for folder in folders for path in folder.rglob("[!_]*.yaml") if path.stem == word]
    if meant := sorted({f"{path.parent.as_posix()}={word}" for path in files if len(path.parts) > 1}):
        return f"{word} is no setting; type {' or '.join(meant)}"
    if Path(script).stem != "train" and word:
        return f"{word} is no setting; type {shell_override('checkpoint', word)}"
    return f"{word or 'an empty word'} is no setting; settings are typed key=value, and --help lists them"
