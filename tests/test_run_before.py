"""A run that the code before the redesign stored goes on to the same weights, and draws and measures the same.

tests/run_before/run is that run after 8 steps. expected.npz holds what the same code drew and measured with it, and the
weights that it came to after 14 steps.
"""

import json
import shlex
import shutil

import numpy as np
import pytest
import torch
from commands import ROOT, command

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
    done = command(folder, script, *words)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def folder(tmp_path):
    """A folder in which the old run lies as runs/run."""
    shutil.copytree(BEFORE / "run", tmp_path / "runs" / "run")
    return tmp_path


def test_it_goes_on_to_the_same_weights(folder):
    assert "is finished, at step" in run(folder, "train.py", *COMMAND, "train.max_steps=8")
    assert "Resuming at step 8" in run(folder, "train.py", *COMMAND, "train.max_steps=14")
    state = torch.load(folder / "runs/run/checkpoints/step_00000014.pt", weights_only=True)
    weights = torch.cat([weight.flatten() for weight in state["model"].values()])
    average = torch.cat([weight.flatten() for weight in state["ema"]["0.9"].values()])
    # Equal to the bit on the machine that wrote it; other processors add up in another order.
    assert torch.allclose(weights, torch.from_numpy(EXPECTED["weights"]), rtol=0, atol=1e-6)
    assert torch.allclose(average[: len(EXPECTED["average"])], torch.from_numpy(EXPECTED["average"]), rtol=0, atol=1e-6)
    lines = (folder / "runs/run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == pytest.approx(EXPECTED["losses"].tolist(), rel=1e-5)


@pytest.mark.parametrize(
    "name, words",
    [("ancestral", ("sampler=ancestral", "sampler.steps=4")), ("ddim", ("sampler=ddim", "sampler.steps=3", "ema=off"))],
)
def test_it_draws_the_same_images(folder, name, words):
    run(folder, "sample.py", "checkpoint=runs/run", "num_images=10", "device=cpu", f"out={name}", *words)
    drawn = np.load(folder / name / "samples.npz")["arr_0"]
    assert np.abs(drawn.astype(int) - EXPECTED[name].astype(int)).max() <= 1  # rounded to 256 levels


def test_it_measures_the_same_bound(folder):
    run(folder, "evaluate.py", "checkpoint=runs/run", "evaluation.num_images=5", "device=cpu", "out=bound")
    np.testing.assert_allclose(np.load(folder / "bound/terms.npz")["total"], EXPECTED["bound"], rtol=1e-5)
