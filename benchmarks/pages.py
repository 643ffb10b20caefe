"""What the pages say to type does what they say: python benchmarks/pages.py

Runs every command of the pages as typed, in one folder that holds what they speak of. Words added behind it make it
short: few steps, few images, narrow networks. A run that a page draws from is the one that a command of a page trains.
Prints how many commands of each page ran, were left out, which the reason is named for, and failed; ends with one line
of JSON, and with 1 if any failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

if __name__ == "__main__":  # before torch is imported
    os.environ.update(OMP_NUM_THREADS="1", WANDB_MODE="disabled", HF_HUB_OFFLINE="1")
sys.path.append(str(Path(__file__).parent / "hostile"))

from runner import import_what_commands_import, judge, run
from typed_commands import PAGES, Command, commands, shortened
from users_folder import fill

SECONDS = 300.0
# Runs that a page draws from and none trains: of any name, weaker than the default, of a network of one's own.
STAND_INS = [Command("", ("train.py", f"name={name}")) for name in ("NAME", "weak", "own")]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import_what_commands_import()
    typed = [command for page in PAGES for command in commands(page)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "here"
        fill(place)
        os.environ.update(HOME=folder, XDG_CACHE_HOME=f"{folder}/cache")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])
        sys.path.insert(0, str(place))
        ends = run_all([*STAND_INS, *typed], place)
    print_table(typed, ends)


def run_all(typed: Iterable[Command], place: Path) -> dict[tuple[str, ...], str]:
    """How each command ended in `place`, "accepted" or what is wrong, by its words: each runs once, training first."""
    ends: dict[tuple[str, ...], str] = {}
    for command in sorted(typed, key=lambda command: command.stage):
        if command.words in ends or command.left_out:
            continue
        words = shortened(command, place)
        code, seconds, *_ = run(words, place, SECONDS)
        said = place.with_suffix(".err").read_text(errors="replace").strip()
        ends[command.words] = f"longer than {SECONDS:g} s" if code is None else judge(words, code, said)
        print(f"{seconds:5.1f} s  {command}", flush=True)
        if ends[command.words] != "accepted":
            print(f"FAILED {command.page}: {ends[command.words]}\n    {' '.join(words)}\n    {said[-600:]}", flush=True)
    return ends


def print_table(typed: list[Command], ends: dict[tuple[str, ...], str]) -> None:
    """A line a page, and what was left out; exits with 1 if any command failed."""
    for command in dict.fromkeys(command._replace(page="") for command in typed if command.left_out):
        print(f"left out, {command.left_out}: {command}")
    print(f"{'':32} commands  run  left out  failed")
    rows = {page: Counter(outcome(command, ends) for command in typed if command.page == page) for page in PAGES}
    for page, row in rows.items():
        print(f"{page:32} {row.total():8}  {row['run']:3}  {row['left out']:8}  {row['failed']:6}")
    total = sum(rows.values(), Counter())
    print(json.dumps({name: total[name] for name in ("run", "left out", "failed")}))
    sys.exit(1 if total["failed"] else 0)


def outcome(command: Command, ends: dict[tuple[str, ...], str]) -> str:
    return "left out" if command.left_out else "run" if ends[command.words] == "accepted" else "failed"


if __name__ == "__main__":
    main()
