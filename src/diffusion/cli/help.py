"""What --help prints: the text of conf/help, and the options that the folders of YAML files hold. Without Hydra."""

import sys
import textwrap
import tomllib
from pathlib import Path

import yaml


def answer_help(script: str) -> None:
    """Print the help of a script and end, if --help is on its command line; or the version, for --version."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text(Path(script).stem, folders_of_command(script, sys.argv[1:])), end="")
        sys.exit()
    if "--version" in sys.argv[1:]:
        project = tomllib.loads((Path(script).resolve().parent / "pyproject.toml").read_text())["project"]
        print(f"{project['name']} {project['version']}")
        sys.exit()


def folders_of_command(script: str, words: list[str]) -> list[Path]:
    """The conf/ beside a script, and the folder that --config-dir (or -cd) names."""
    folders = [Path(script).resolve().parent / "conf"]
    for word, following in zip(words, [*words, ""][1:], strict=True):
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            folders.append(Path(value if equals else following))
    return folders


def help_text(command: str, folders: list[Path]) -> str:
    """The prose of conf/help/COMMAND.txt, where the line "{groups}" stands for the options of the command's groups."""
    prose = (folders[0] / "help" / f"{command}.txt").read_text(encoding="utf-8")
    defaults = yaml.safe_load((folders[0] / f"{command}.yaml").read_text(encoding="utf-8"))["defaults"]
    groups = [name for entry in defaults if isinstance(entry, dict) for name in entry if " " not in name]
    lines = ""
    for group in dict.fromkeys(name for outer in groups for name in [outer, *inner_groups(outer, folders)]):
        head = f"{'    ' if '/' in group else '  '}{group}".ljust(28)
        if options := " ".join(group_options(group, folders)):
            lines += textwrap.fill(options, 120, initial_indent=head, subsequent_indent=" " * 28) + "\n"
    return prose.replace("{groups}\n", lines)


def group_options(group: str, folders: list[Path]) -> list[str]:
    """The options of a group in all folders, in alphabetical order."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("[!_]*.yaml")})


def inner_groups(group: str, folders: list[Path]) -> list[str]:
    """The groups inside a group, at any depth."""
    inner = [path.relative_to(folder) for folder in folders for path in (folder / group).rglob("*") if path.is_dir()]
    return sorted({path.as_posix() for path in inner})
