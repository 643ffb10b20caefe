"""The commands as a user types them, each of which costs seconds: test_config.py tries the rest."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ROOT, Done, command, command_anew, surroundings
from omegaconf import OmegaConf

from diffusion.runs.metrics import MetricsFile

TINY = ("train=debug", "data.image_size=8", "sampler.steps=2", "train.preview.images=2", "device=cpu")


def started(folder: Path, script: str, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *words],
        cwd=folder, env=surroundings(), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=120)
    return Done(process.args, process.returncode, out, err)


def said(done: Done) -> list[str]:
    """What stands on stderr beside the folder and the progress."""
    beside = r"Run folder: |A batch of |step \d+|.*: about \d+ \w+ left, "
    return [line for line in done.stderr.splitlines() if not re.match(beside, line)]


def files(folder: Path) -> dict[str, int]:
    """Every file and folder, and when it was last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder of the user's, in which a debug run has been trained: (folder, what the command said)."""
    folder = tmp_path_factory.mktemp("user")
    return folder, finished(started(folder, "train.py", *TINY))


RUN = "debug+image_size-8"


def test_training_leaves_a_whole_run_and_says_how_to_draw(place):
    folder, done = place
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / RUN
    assert f"python sample.py checkpoint={run}" in done.stderr
    assert [line["step"] for line in MetricsFile.read(run / "metrics.jsonl")] == [1, 2, 3, 4]
    there = {"checkpoints", "samples", "config.yaml", "metrics.jsonl", "train.log", "outcome.json", "provenance.json"}
    assert {path.name for path in run.iterdir()} - {"code.diff"} == there
    assert OmegaConf.load(run / "config.yaml").classes == list("0123456789")
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert {path.name for path in folder.iterdir()} == {"runs"}


def test_the_same_command_finds_its_run_and_has_nothing_left_to_do(place):
    folder, _ = place
    run = folder / "runs" / RUN
    before = {path: time for path, time in files(run).items() if path.endswith((".pt", ".png"))}
    done = command(folder, "train.py", *TINY)
    assert done.returncode == 0, done.stderr
    more = "To train on, set train.max_steps=8 or another number above 4; its rate then rises again, to fall towards "
    more += "the new end; to train anew, name=NAME"
    assert done.stderr == f"Nothing to train: {run} is finished, at step 4. {more}\n"
    assert {path: time for path, time in files(run).items() if path.endswith((".pt", ".png"))} == before
    assert len(MetricsFile.read(run / "metrics.jsonl")) == 4


def test_a_checkpoint_is_all_that_drawing_needs(place):
    folder, _ = place
    words = ("num_images=6", "batch_size=4", "labels=[3,7]", "sampler.steps=2")
    done = command_anew(folder, "sample.py", f"checkpoint=runs/{RUN}", *words)
    assert done.returncode == 0, done.stderr
    (grid,) = (folder / "runs" / RUN / "samples").glob("*/grid.png")
    assert str(grid.relative_to(folder)) in done.stdout
    drawn = np.load(grid.with_name("samples.npz"))
    assert drawn["arr_0"].shape == (6, 8, 8, 1) and drawn["arr_1"].tolist() == [3, 7, 3, 7, 3, 7]
    assert len(list((grid.parent / "images").iterdir())) == 6


def test_a_run_interrupted_half_way_and_resumed_is_the_unbroken_one(tmp_path):
    words = (
        *TINY, "name=run", "train.max_steps=100", "train.save_every=1000", "train.log_every=1", "train.preview.every=0",
        "train.batch_size=2", "train.microbatch=1",
    )  # fmt: skip
    processes = [started(tmp_path, "train.py", *words, f"runs={runs}") for runs in ("unbroken", "broken")]
    metrics = tmp_path / "broken" / "run" / "metrics.jsonl"
    limit = time.monotonic() + 100
    while not (metrics.exists() and metrics.read_text().count("\n") >= 5) and time.monotonic() < limit:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGINT)
    unbroken, broken = map(finished, processes)
    assert unbroken.returncode == 0, unbroken.stderr
    assert broken.returncode == 128 + signal.SIGINT, broken.stderr
    assert "The same command goes on from here" in broken.stderr and "Traceback" not in broken.stderr

    resumed = command(tmp_path, "train.py", *words, "runs=broken")
    assert resumed.returncode == 0, resumed.stderr
    step = int(re.search(r"Resuming at step (\d+)", resumed.stderr)[1])
    assert 5 <= step < 100

    lines = {}
    for runs in ("unbroken", "broken"):
        lines[runs] = MetricsFile.read(tmp_path / runs / "run" / "metrics.jsonl")
        for line in lines[runs]:
            for speed in ("images_per_second", "tflops", "share_of_peak", "memory_gb"):
                del line[speed]
    assert [line["step"] for line in lines["broken"]] == list(range(1, 101))
    assert lines["broken"] == lines["unbroken"]
    ends = [
        torch.load(tmp_path / runs / "run" / "checkpoints" / "step_00000100.pt", weights_only=True)
        for runs in ("unbroken", "broken")
    ]
    assert all(torch.equal(weight, ends[1]["model"][name]) for name, weight in ends[0]["model"].items())


def test_a_sweep_is_a_folder_for_each_run_and_one_group(tmp_path):
    words = ("-m", "model.attention_resolutions=[8],[8,4]", *TINY, "train.max_steps=1", "train.preview.every=0")
    done = command(tmp_path, "train.py", *words)
    assert done.returncode == 0, done.stderr
    configs = [OmegaConf.load(path) for path in sorted((tmp_path / "runs").glob("*/config.yaml"))]
    assert [list(config.model.attention_resolutions) for config in configs] == [[8], [8, 4]]
    groups = {config.logger.group for config in configs}
    assert len(groups) == 1 and groups != {None}
    assert all((tmp_path / "runs" / config.name / "checkpoints" / "step_00000001.pt").exists() for config in configs)


@pytest.mark.parametrize(
    "words, message",
    [
        (["model.dropuot=1"], "no setting model.dropuot; did you mean dropout"),
        (["train/evaluations=[foo]"], "no train/evaluations foo; there are .*likelihood, .*quality"),
        (["train.microbatch=7"], "not a multiple of train.microbatch=7; choose one"),
        (
            ["guidance.scale=2", "train.label_dropout=0.1", "train/evaluations=[likelihood]"],
            "what is guided has no density, nor a bound of it; leave guidance out",
        ),
        (["runs=/proc/nowhere"], "/proc/nowhere"),
        (["name=/etc/x"], "name=/etc/x is no folder below the runs folder"),
    ],
    ids=["composing", "choosing several", "building", "guided", "folder", "name"],
)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(tmp_path, words, message):
    done = command(tmp_path, "train.py", *words)
    assert done.returncode == 1
    assert re.fullmatch(rf"train: .*{message}.*\n", done.stderr), done.stderr
    assert not files(tmp_path)


def test_a_run_that_diverges_ends_in_one_line_and_keeps_its_last_good_checkpoint(tmp_path):
    words = ("name=run", "train.optimizer.lr=1e30", "train.max_steps=50", "train.save_every=1", "train.preview.every=0")
    done = command(tmp_path, "train.py", *TINY, *words)
    assert done.returncode == 1
    *_, line = lines = said(done)
    assert len(lines) == 1, done.stderr
    assert re.match(r"train: the (loss|gradient) of step \d+ is .*holds step \d+", line)
    good = re.search(r"holds step (\d+)", line)[1]
    assert (tmp_path / "runs" / "run" / "checkpoints" / f"step_{good:>08}.pt").exists()


def test_another_experiment_under_the_same_name_is_refused_and_the_run_left_alone(place):
    folder, _ = place
    before = files(folder / "runs" / RUN)
    done = command(folder, "train.py", *TINY, f"name={RUN}", "model.dropout=0.5", "seed=1")
    (line,) = said(done)
    assert done.returncode == 1
    assert "another experiment (model.dropout: 0.0 -> 0.5; seed: 0 -> 1)" in line
    after = files(folder / "runs" / RUN)
    assert {path for path in before if before[path] != after.get(path)} <= {"train.log"}
    assert after.keys() == before.keys()


def test_labels_that_the_run_does_not_know_are_refused_and_nothing_is_written(place):
    folder, _ = place
    before = files(folder).keys()
    done = command(folder, "sample.py", f"checkpoint=runs/{RUN}", "labels=[12]")
    assert done.returncode == 1
    assert done.stderr == "sample: the model has no class 12; it has 10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n"
    assert files(folder).keys() == before
