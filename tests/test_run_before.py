"""A run that the code before the redesign stored goes on to the same weights, and draws and measures the same.

tests/run_before/run is that run after 8 steps; expected.npz is what the same code came to after 14.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
BEFORE = ROOT / "tests" / "run_before"
EXPECTED = np.load(BEFORE / "expected.npz")
COMMAND = shlex.split(
    "name=run train=debug data.image_size=8 model.base_channels=4 model.channel_mult=[1,1] "
    "model.attention_resolutions=[] model.heads=1 model.norm_groups=2 model.dropout=0.1 "
    "train/schedule_sampler=loss_second_moment train.schedule_sampler.history=1 diffusion.steps=4 "
    "train.ema_rates=[0.9] train.keep=1 train.preview.every=0 device=cpu sampler.steps=4 data.flip=true "
    "train.anneal_steps=20 train.optimizer.lr=3e-3"
)


def run(folder, script, *words):
    """What `python script words` writes to stderr; an AssertionError with it if it fails."""
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / script, *words]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder in which the old run has gone on to 14 steps, by the command that began it."""
    folder = tmp_path_factory.mktemp("before")
    shutil.copytree(BEFORE / "run", folder / "runs" / "run")
    assert "has all its steps" in run(folder, "train.py", *COMMAND, "train.max_steps=8")
    assert "Resuming at step 8" in run(folder, "train.py", *COMMAND, "train.max_steps=14")
    return folder


def test_it_goes_on_to_the_same_weights(finished):
    state = torch.load(finished / "runs/run/checkpoints/step_00000014.pt", weights_only=True)
    weights = torch.cat([weight.flatten() for weight in state["model"].values()])
    average = torch.cat([weight.flatten() for weight in state["ema"]["0.9"].values()])
    assert torch.equal(weights, torch.from_numpy(EXPECTED["weights"]))
    assert torch.equal(average[: len(EXPECTED["average"])], torch.from_numpy(EXPECTED["average"]))
    lines = (finished / "runs/run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == EXPECTED["losses"].tolist()


@pytest.mark.parametrize(
    "name, words",
    [("ancestral", ("sampler.steps=4",)), ("ddim", ("sampler=ddim", "sampler.steps=3", "ema=off"))],
)
def test_it_draws_the_same_images(finished, name, words):
    run(finished, "sample.py", "checkpoint=runs/run", "num_images=10", "device=cpu", f"out={name}", *words)
    drawn = np.load(finished / name / "samples.npz")["arr_0"]
    assert np.abs(drawn.astype(int) - EXPECTED[name].astype(int)).max() <= 1  # rounded to 256 levels


def test_it_measures_the_same_bound(finished):
    run(finished, "evaluate.py", "checkpoint=runs/run", "evaluation.num_images=5", "device=cpu", "out=bound")
    np.testing.assert_allclose(np.load(finished / "bound/terms.npz")["total"], EXPECTED["bound"], rtol=1e-5)
