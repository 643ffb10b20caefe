"""Command lines drawn by Hypothesis: any setting of any class that a YAML file names, with a value that it should not
have; and words that set nothing: flags of other programs, words without a key, options that no group has, deletions and
additions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

import hypothesis
from hydra._internal.utils import get_args_parser
from hypothesis import strategies as st
from runner import DIGITS, ROOT, Case, trained_run

from diffusion.cli.help import inner_groups
from diffusion.config.signature import signature

T = TypeVar("T")
CONF = ROOT / "conf"
COMMANDS = ("train", "sample", "evaluate", "export")
DATA = ("data=synthetic", "data.num_images=16", "data.num_classes=2", "data.channels=1")
SETTINGS, OTHERS = 220, 80  # cases of a run
EITHER = ("refused", "accepted")  # an odd value is right for some settings
HYDRA = get_args_parser()._option_string_actions.keys()
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NAME = st.from_regex(r"[a-z][a-z_-]{0,12}", fullmatch=True).filter(lambda name: not any(CONF.rglob(f"{name}.yaml")))
VALUE = st.one_of(NAME, st.integers().map(str), st.sampled_from(["True", "1e-4", "a.b", "../x", "[1,2]", "{a:1}", ""]))
DEPTH = st.integers(2, 400)


class Setting(NamedTuple):
    """A setting, the command and the words that choose the class that has it, and whether it takes numbers alone."""

    command: str
    words: tuple[str, ...]
    key: str
    numeric: bool


class Typed(NamedTuple):
    """What a command line says, of which kind that is, and how the command may end."""

    kind: str
    command: str
    words: tuple[str, ...]
    may: tuple[str, ...] = ("refused",)


def cases(place: Path, seed: int) -> Iterator[Case]:
    run = trained_run(place, *DATA)
    beginnings = {
        "train": DIGITS,
        "sample": (f"checkpoint={run}", "num_images=2", "sampler.steps=2", "device=cpu", "out=drawn"),
        "evaluate": (f"checkpoint={run}", "device=cpu", "out=measured"),
        "export": (f"checkpoint={run}", "device=cpu", "out=weights.pt"),
    }
    wrong_values = st.sampled_from(settings()).flatmap(with_wrong_value)
    for number, typed in enumerate([*drawn(wrong_values, seed, SETTINGS), *drawn(other_words(), seed, OTHERS)]):
        yield Case(
            kind="command lines",
            name=f"{typed.kind} {number}: {typed.words[-1]!r:.70}",
            words=(f"{typed.command}.py", *beginnings[typed.command], *typed.words),
            may=typed.may,
            untouched=typed.kind != "huge",  # a learning rate may be so large that it shows in training alone
        )


def drawn(strategy: st.SearchStrategy[T], seed: int, count: int) -> list[T]:
    """`count` examples, which follow from the seed."""
    found: list[T] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(strategy)
    def collect(example: T) -> None:
        found.append(example)

    collect()
    return found


def settings() -> list[Setting]:
    """Those of every command itself, and of every class that a YAML file of its groups names."""
    found = []
    for command in COMMANDS:
        text = (CONF / f"{command}.yaml").read_text()
        (root,) = re.findall(r"/schema/([\w.]+)@_global_", text)
        found += [Setting(command, (), key, numeric) for key, numeric in arguments(root)]
        outer = set(re.findall(r"^  - (\w[\w/]*):", text, re.MULTILINE)) - {"experiment"}
        for group in sorted({*outer, *(inner for each in outer for inner in inner_groups(each, [CONF]))}):
            found += of_group(command, group)
    return found


def of_group(command: str, group: str) -> Iterator[Setting]:
    """The settings of every option of a group."""
    for path in sorted((CONF / group).glob("[!_]*.yaml")):
        text = path.read_text()
        package = re.search(r"^# @package (\S+)", text)
        place = package[1] if package else group.replace("/", ".")
        option = f"[{path.stem}]" if group in ("conditions", "train/evaluations") else path.stem
        for name in re.findall(r"/schema/([\w.]+)@_here_", text):
            for key, numeric in arguments(name):
                yield Setting(command, (f"{group}={option}",), f"{place}.{key}", numeric)


def arguments(name: str) -> Iterator[tuple[str, bool]]:
    """Each setting of a class, and whether it takes numbers alone."""
    for key, (hint, _) in signature(name).settings.items():
        kinds = (hint, *get_args(hint))
        if key != "compile":  # any whole number says true, rightly, and to compile takes longer than a case may
            yield key, (int in kinds or float in kinds) and str not in kinds


def with_wrong_value(setting: Setting) -> st.SearchStrategy[Typed]:
    """The setting with a value of one of the kinds of `wrong_values`."""
    kinds = wrong_values(setting.key)
    refused = {"not finite", "another type"} if setting.numeric else set()

    def typed(kind: str, value: str) -> Typed:
        may = ("refused",) if kind in refused else EITHER
        return Typed(kind, setting.command, (*setting.words, f"{setting.key}={value}"), may)

    return st.sampled_from(sorted(kinds)).flatmap(lambda kind: kinds[kind].map(lambda value: typed(kind, value)))


def wrong_values(key: str) -> dict[str, st.SearchStrategy[str]]:
    """Values that most settings should not have, as they are typed."""
    itself = "${" + key + "}"
    return {
        "not finite": st.sampled_from(["nan", "inf", "-inf", "[nan]", "[1,inf]"]),
        "another type": st.sampled_from(["x", "{a:1}", "[x]", "'1'x", "1e", "2020-01-01"]),
        "out of range": st.one_of(st.integers(-(10**9), 0), st.floats(-1e9, 0)).map(str),
        "huge": st.sampled_from(["1000000000", "10" * 9, "1" + "0" * 30, "1e300", "9" * 5000]),
        "empty": st.sampled_from(["", "null", "[]", "{}", "''", "' '"]),
        "text": TEXT,
        "quoted text": TEXT.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
        "nested": st.one_of(DEPTH.map(lambda n: "[" * n + "]" * n), DEPTH.map(lambda n: "{a:" * n + "1" + "}" * n)),
        "interpolated": st.sampled_from(["${nothing}", "${oc.env:NOTHING}", itself, "${seed", "${oc.env:HOME}"]),
        "several": st.sampled_from(["1,2", "choice(1,2)", "range(1,3)", "1,", "glob(*)"]),
    }


def other_words() -> st.SearchStrategy[Typed]:
    """Words that set nothing."""
    told = re.findall(r"`--(\w+)", (ROOT / "docs/flags.md").read_text())
    groups = sorted({path.parent.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")} - {"."})
    flag = st.one_of(st.sampled_from(told), NAME).map("--{}".format).filter(lambda flag: flag not in HYDRA)
    odd = st.sampled_from(["5", "", "x.y", "../x", "{a:1}"])
    bare = st.sampled_from(["runs/default", ".", "=", "==", "=1", "unet_64", "+", "@", "a b", "é", "\x1b[31m"])
    known = st.sampled_from(["train", "model", "name", "seed", "device", "train.preview", "sampler.spacing"])
    place = st.sampled_from(["", "model.", "train.optimizer.", "sampler."])
    kinds: dict[str, st.SearchStrategy[tuple[str, ...]]] = {
        "flag": st.one_of(st.tuples(flag), st.tuples(flag, VALUE), one_word(flag, st.just("="), VALUE)),
        "word": one_word(st.one_of(NAME, bare)),
        "option": one_word(st.sampled_from(groups), st.just("="), st.one_of(NAME, odd)),
        "deletion": one_word(st.just("~"), st.one_of(known, NAME)),
        "addition": one_word(st.sampled_from(["+", "++"]), place, NAME, st.just("="), VALUE),
    }
    return st.sampled_from(sorted(kinds)).flatmap(
        lambda kind: st.tuples(st.sampled_from(COMMANDS), kinds[kind]).map(lambda pair: Typed(kind, *pair))
    )


def one_word(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.tuples(*parts).map(lambda parts: ("".join(parts),))
