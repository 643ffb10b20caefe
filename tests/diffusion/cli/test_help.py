"""--help: prose, and the options that the folders hold, at once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from diffusion.cli.help import folders_of_command, group_options, help_text

ROOT = Path(__file__).parents[3]
CONF = ROOT / "conf"
COMMANDS = sorted(path.stem for path in (CONF / "help").iterdir())


def groups_of(command: str) -> list[str]:
    """The groups in the defaults list of a command."""
    return re.findall(r"^  - ([a-z]\w*):", (CONF / f"{command}.yaml").read_text(), re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_lists_every_option_of_its_groups_and_their_inner_groups(command):
    text = help_text(command, [CONF])
    assert max(map(len, text.splitlines())) <= 120 and "{" not in text.replace("{job", "")
    listed = set(text.partition("Groups")[2].split())
    assert groups_of(command)
    for group in groups_of(command):
        assert {path.stem for path in (CONF / group).rglob("[!_]*.yaml")} <= listed
        assert {path.relative_to(CONF).as_posix() for path in (CONF / group).rglob("*") if path.is_dir()} <= listed


def test_the_groups_of_a_command_are_all_that_it_composes():
    elsewhere = {"hydra", "help", "evaluation", "task"}
    assert {path.name for path in CONF.iterdir() if path.is_dir()} - elsewhere == set(groups_of("train"))


@pytest.mark.parametrize("words", [["--config-dir", "{}"], ["--config-dir={}"], ["-cd", "{}"]])
def test_options_of_the_users_own_folder_are_listed_too(tmp_path, words):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").touch()
    folders = folders_of_command(str(ROOT / "train.py"), ["model=mine", *(word.format(tmp_path) for word in words)])
    assert folders == [CONF, tmp_path]
    assert "mine" in group_options("model", folders) and " mine " in help_text("train", folders)


@pytest.mark.parametrize("script", COMMANDS)
def test_it_is_there_before_torch_and_hydra_are_imported(script, tmp_path):
    for name in ("torch", "hydra"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    done = subprocess.run(
        [sys.executable, ROOT / f"{script}.py", "--help"], capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": f"{tmp_path}:{Path(sys.modules['diffusion'].__file__).parents[1]}"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == help_text(script, [CONF])


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([], None),
        (["seed=1"], None),
        (["--config-dir", "mine"], "mine"),
        (["-cd=mine", "seed=1"], "mine"),
        (["seed=1", "--config-dir"], ""),
    ],
)
def test_the_folders_of_a_command_are_its_own_and_that_of_config_dir(words, folder):
    found = folders_of_command(str(ROOT / "train.py"), words)
    assert found == [CONF, *([] if folder is None else [Path(folder)])]
