"""What the pages say: every command composes, every file they lead to is there, every YAML says what it is."""

from __future__ import annotations

import re
import shlex
import sys
from itertools import takewhile
from pathlib import Path

import hydra
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from diffusion.cli.user_errors import check_known, check_schemas
from diffusion.config.resolvers import register_resolvers

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from typed_commands import LEFT_OUT, PAGES, commands

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
SCRIPTS = ("train", "sample", "evaluate", "export")
OF_OTHERS = re.compile(
    r"--config-dir|benchmarks/|interval\(|=mine\b|\.\.\."
)  # own files, Optuna's words, the rest of a line
TRANSLATIONS = [("docs/walkthrough.ko.md", "docs/walkthrough.md"), ("README.ko.md", "README.md")]
# What the tables of docs/flags.md leave to the page around them: the script of a section, and what a flag goes with.
SECTIONS = {"Sampling": "sample", "Likelihood": "evaluate"}
GOES_WITH = {
    "conditions.low_res": ["conditions=[label,small_image]"],
    "diffusion/loss=vlb": ["diffusion/variance=learned_range"],
}


@pytest.fixture(scope="module", autouse=True)
def initialized():
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def compose(script: str, words: list[str]) -> None:
    """Compose the configuration of each run of a command, as far as `-m` makes several."""
    loader = GlobalHydra.instance().config_loader()
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(words)
    needed = {"checkpoint": "x", "out": "y"} if script == "export" else {"checkpoint": "x"}
    given = (
        [] if script == "train" else [f"{key}={value}" for key, value in needed.items() if f"{key}=" not in str(words)]
    )
    for run in BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]:
        config = hydra.compose(script, ["name=test", *run] if script == "train" else [*given, *run])
        check_known(config)
        check_schemas(config)


def composable(page: str) -> list[tuple[str, list[str]]]:
    """(script, overrides) of every command of a page that composes without files of one's own."""
    found = [command for command in commands(page) if command.script in SCRIPTS and not OF_OTHERS.search(str(command))]
    lines = ((command.script, [word for word in command.words[1:] if word != "-m"]) for command in found)
    return [(script, [word for word in takewhile(lambda word: word[0] != "-", line)]) for script, line in lines]


@pytest.mark.parametrize(
    "command", sorted({(script, *words) for page in PAGES for script, words in composable(page)}), ids=" ".join
)
def test_every_command_of_the_pages_composes(command):
    script, *words = command
    compose(script, words)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_found_to_be_run(page):
    """benchmarks/pages.py runs what is found, but for what it leaves out by name."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    written = rf"(?:python|torchrun)\s[^`\n|]*?\b(?:{'|'.join(SCRIPTS)})\.py\b|python\s+-m\s+diffusion"
    assert len(re.findall(written, text)) == len(commands(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_benchmark_that_a_page_names_is_there(page):
    named = re.findall(r"python (benchmarks/[\w./]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_reason_to_leave_a_command_out_is_that_of_one():
    assert {command.left_out for page in PAGES for command in commands(page)} == {None, *LEFT_OUT.values()}


def flags() -> list[tuple[str, list[str]]]:
    """(script, words) of every override in the tables of docs/flags.md, which leave the script's name out."""
    found, script = [], "train"
    for line in (ROOT / "docs/flags.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            script = next((name for word, name in SECTIONS.items() if word in line), "train")
        if line.startswith("## What we fixed"):
            break
        if line.startswith("|"):
            told, *_ = line.split(" | ")[1:] or [""]
            for match in re.finditer(r"`([^`]+)`", told):
                here = "sample" if "sampling" in told[: match.start()] else script
                words, span = shlex.split(match[1]), match[1]
                if all("=" in word for word in words) and not OF_OTHERS.search(span):
                    found.append((here, words))
    return found


def test_the_overrides_in_the_tables_of_flags_are_found():
    assert len(flags()) > 60


@pytest.mark.parametrize("override", sorted({(script, *words) for script, words in flags()}), ids=" ".join)
def test_every_override_in_the_tables_of_flags_composes(override):
    script, *words = override
    around = [more for key, extra in GOES_WITH.items() if key in str(words) for more in extra]
    compose(script, [*around, *words])


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_leads_to_is_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()] == []


def test_every_name_beside_a_link_to_a_source_file_stands_in_it():
    """[`Chain.level`](../src/diffusion/process/chain.py): the last name is in that file."""
    for page in PAGES:
        for name, link in re.findall(r"\[`([\w.]+)`\]\(([^)]+\.py)\)", (ROOT / page).read_text(encoding="utf-8")):
            source = (ROOT / page).parent.joinpath(link).read_text(encoding="utf-8")
            assert re.search(rf"^\s*(def|class) {name.rpartition('.')[2]}\b", source, re.M), (page, name, link)


@pytest.mark.parametrize("korean, english", TRANSLATIONS)
def test_a_translation_leads_to_the_same_files_and_commands(korean, english):
    pages = [(ROOT / page).read_text(encoding="utf-8").replace(".ko.md", ".md") for page in (korean, english)]
    titles, links = ([re.findall(pattern, page, re.M) for page in pages] for pattern in (r"^#+", r"\]\(([^)#]+)"))
    assert titles[0] == titles[1] and sorted(links[0]) == sorted(links[1])
    assert composable(korean) == composable(english)


def test_every_yaml_says_what_it_is_in_its_first_line():
    for path in CONF.rglob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if not line.startswith("# @package"))
        assert first.startswith("# ") and len(first) > 20, path


@pytest.mark.parametrize("name", ["likelihood", "quality", "memorisation", "recognition"])
def test_a_measure_while_training_is_the_one_of_afterwards_but_for_its_numbers(name):
    config = hydra.compose("train", [f"train/evaluations=[{name}]", "name=test", "logger.group=null"])
    inside = OmegaConf.to_container(config.train.evaluations[name], resolve=True)
    after = hydra.compose("evaluate", [f"evaluation={name}", "checkpoint=x"]).evaluation
    outside = OmegaConf.to_container(after, resolve=True)
    assert {key for key in inside if inside[key] != outside[key]} <= {"num_images", "steps"}
