"""What some pages say to type does what they say; benchmarks/pages.py runs every command of all of them."""

import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from pages import run_all
from runner import import_what_commands_import
from typed_commands import PAGES, commands
from users_folder import small_images

SIGNS = (
    r"train\.py$", r"train\.py experiment=digits_upsample$", r"sample\.py .*low_res=FOLDER$",
    r"evaluate\.py .*evaluation=likelihood$", r"export\.py .*out=model\.pt$",
)  # fmt: skip


def test_commands_of_the_pages_run_as_typed(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    small_images(tmp_path / "here")
    import_what_commands_import()
    typed = [command for page in PAGES for command in commands(page)]
    chosen = [next(command for command in typed if re.search(sign, str(command))) for sign in SIGNS]
    ends = run_all(chosen, tmp_path / "here")
    assert ends == dict.fromkeys((command.words for command in chosen), "accepted")
