"""Run folders from strangers and after a power cut: each file damaged in each way, for each command that reads it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from damage import KINDS, SOME, damaged
from PIL import Image
from runner import DIGITS, Case, trained_run

REPORT = ("-m", "diffusion.report", "runs")
RESUME = ("train.py", "name=run", *DIGITS, "train.max_steps=5")
AGAIN = ("train.py", "name=run", *DIGITS, "objective=loss")
RESULT = "evaluation/likelihood_16_images_step_4/result.json"
PICTURE = "samples/step_00000004_ema_0.9.png"
BY_REPORT = {
    **dict.fromkeys(("config.yaml", "outcome.json", "metrics.jsonl"), KINDS),
    **dict.fromkeys(("provenance.json", RESULT, PICTURE), SOME),
}
BY_TRAINING = ("config.yaml", "outcome.json", "metrics.jsonl", "provenance.json", "train.log", "config.partial.yaml")


def cases(place: Path, seed: int) -> Iterator[Case]:
    run = trained_run(place)
    for file in (RESULT, PICTURE):
        (run / file).parent.mkdir(parents=True)
    (run / RESULT).write_text('{"bits_per_dim": 3.2, "num_images": 16, "step": 4}\n')
    Image.new("L", (64, 64)).save(run / PICTURE)
    for file, kinds in BY_REPORT.items():
        for kind in kinds:
            yield case("report", REPORT, run, file, kind, good="good", complaint=shows_the_other)
    for file in BY_TRAINING:
        for kind in SOME:
            yield case("resume", RESUME, run, file, kind, complaint=trains_on)
    for file in ("config.yaml", "outcome.json", "metrics.jsonl"):
        for kind in SOME:
            yield case("again", AGAIN, run, file, kind)
    for name, prepare in FOLDERS.items():
        yield Case(
            kind="run folders", name=f"report: {name}", words=REPORT, may=("accepted",), complaint=shows_the_other,
            prepare=partial(beside_a_good_one, run, prepare),
        )  # fmt: skip


def case(
    name: str, words: tuple[str, ...], run: Path, file: str, kind: str, *, good: str = "",
    complaint: Callable[[Path, str], str | None] = lambda folder, said: None,
) -> Case:  # fmt: skip
    def prepare(folder: Path) -> None:
        shutil.copytree(run, folder / "runs" / "run")
        if good:
            shutil.copytree(run, folder / "runs" / good)
        damaged(folder / "runs" / "run" / file, kind)

    may = ("accepted",) if good else ("refused", "accepted")
    return Case(
        kind="run folders", name=f"{name}: {file} is {kind}", words=words, prepare=prepare, may=may, complaint=complaint
    )


def shows_the_other(folder: Path, said: str) -> str | None:
    """What is wrong if the report lacks the sound run beside the damaged one, or names one folder in several lines."""
    if "good" not in said or "Report: runs/report.html" not in said:
        return "the report lacks the sound run"
    warned = re.findall(r"^(\S*runs\S*): left out .*$", said, re.M)
    return None if len(warned) == len(set(warned)) else "names a folder more than once"


def trains_on(folder: Path, said: str) -> str | None:
    """What is wrong if a run says that it is done, and has no checkpoint of its last step."""
    there = (folder / "runs" / "run" / "checkpoints" / "step_00000005.pt").exists()
    return "says Done without a checkpoint" if "Done" in said and not there else None


def beside_a_good_one(run: Path, prepare: Callable[[Path], object], folder: Path) -> None:
    shutil.copytree(run, folder / "runs" / "good")
    prepare(folder / "runs")


def deep(folder: Path) -> None:
    """Deeper than calls of Python may be."""
    for _ in range(600):
        folder = folder / "d"
        folder.mkdir()


def named(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copytree(folder / "good", folder / name)


FOLDERS: dict[str, Callable[[Path], object]] = {
    "folders 600 deep": deep,
    "a link to the folder above": lambda folder: (folder / "up").symlink_to(".."),
    "a link to itself": lambda folder: (folder / "loop").symlink_to("loop"),
    "a name that steers": named("a\x1b[31mb\nc"),
    "a name that is no text": lambda folder: shutil.copytree(folder / "good", folder / "\udcff\udcfe"),
    "a name that is HTML": named("<script>alert(1)<|script>"),
    "a pipe among them": lambda folder: damaged(folder / "pipe", "a pipe"),
    "evaluations as a pipe": lambda folder: damaged(folder / "good" / "evaluation", "a pipe"),
    "samples as a link to zeros": lambda folder: damaged(folder / "good" / "samples", "a link to zeros"),
}
