"""What --help prints: the text of conf/help, and the options that the folders of YAML files hold. Without Hydra."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

# Which groups each command offers; a group brings those inside it, such as diffusion/schedule.
GROUPS = {
    "train": ("experiment", "data", "conditions", "model", "diffusion", "train", "sampler", "guidance", "logger"),
    "sample": ("sampler", "guidance", "experiment"),
    "evaluate": ("evaluation", "sampler", "guidance", "experiment"),
    "export": ("experiment",),
}
WIDTH = 120


def answer_help(script: str) -> None:
    """Print the help of a script and end, if --help is on its command line."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text(Path(script).stem, config_folders(script, sys.argv[1:])), end="")
        sys.exit()


def config_folders(script: str, words: list[str]) -> list[Path]:
    """The conf/ beside a script, and the folder that --config-dir (or -cd) names."""
    folders = [Path(script).resolve().parent / "conf"]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            folders.append(Path(value if equals else following))
    return folders


def help_text(command: str, folders: list[Path]) -> str:
    """The prose of conf/help/COMMAND.txt, where the line "{groups}" stands for the options of the command's groups."""
    prose = (folders[0] / "help" / f"{command}.txt").read_text(encoding="utf-8")
    return prose.replace("{groups}\n", "".join(group_lines(GROUPS[command], folders)))


def group_lines(groups: Iterable[str], folders: list[Path]) -> list[str]:
    """A line, or several, for each group: its name and its options."""
    lines = []
    for group in groups:
        names = [group, *inner_groups(group, folders)]
        lines += [line for name in names if (found := options(name, folders)) for line in wrapped(name, found)]
    return lines


def options(group: str, folders: list[Path]) -> list[str]:
    """The options of a group in all folders, in alphabetical order."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def inner_groups(group: str, folders: list[Path]) -> list[str]:
    """The groups inside a group, at any depth."""
    return sorted({
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in (folder / group).rglob("*")
        if path.is_dir()
    })  # fmt: skip


def wrapped(group: str, names: list[str]) -> list[str]:
    """ "  group    option option ..." in lines of at most WIDTH characters; an inner group stands further in."""
    margin = "    " if "/" in group else "  "
    head = f"{margin}{group:<{26 - len(margin)}} "
    lines = [head]
    for name in names:
        if len(lines[-1]) + len(name) + 1 > WIDTH:
            lines.append(" " * len(head))
        lines[-1] += f"{name} "
    return [f"{line.rstrip()}\n" for line in lines]
