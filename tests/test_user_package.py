"""A user's own network, in a package and a folder of YAML files of his own, takes part like one of this program's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = """
from typing import Literal
import torch

class Small(torch.nn.Module):
    def __init__(self, *, in_channels: int, out_channels: int, act: Literal["relu", "gelu"] = "relu"):
        super().__init__()
        self.layer = torch.nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.act = getattr(torch.nn.functional, act)

    def forward(self, x, time, y=None):
        return self.layer(self.act(x))
"""
TINY = (
    "--config-dir", "conf", "model=mine", "train/optimizer=sgd", "train=debug", "data.image_size=8", "device=cpu",
    "train.max_steps=1", "train.warmup_steps=0", "train.preview.every=0", "diffusion.steps=20", "sampler.steps=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A user's folder: a package, and a folder of YAML files that name its class and one of torch's."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_package.py").write_text(PACKAGE)
    for path, name in {"model/mine": "my_package.Small", "train/optimizer/sgd": "torch.optim.SGD"}.items():
        file = folder / "conf" / f"{path}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"defaults: [/schema/{name}@_here_, _self_]\n")
    return folder


def ran(folder, script, *words):
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, ROOT / script, *words]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=120)


def test_it_trains_resumes_and_draws_for_who_trusts_it(place):
    first = ran(place, "train.py", *TINY, "name=mine")
    assert first.returncode == 0, first.stderr
    again = ran(place, "train.py", *TINY, "name=mine", "train.max_steps=2")
    assert again.returncode == 0 and "Resuming at step 1" in again.stderr, again.stderr
    wrong = ran(place, "train.py", *TINY, "name=wrong", "model.act=tanh")
    assert wrong.stderr == "train: model.act: Invalid value 'tanh', expected one of [relu, gelu]\n"

    draw = ("sample.py", "checkpoint=runs/mine", "num_images=2", "device=cpu", "sampler.steps=2")
    refused = ran(place, *draw)
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "model._target_=my_package.Small" in refused.stderr and "type 'trust=[my_package]'" in refused.stderr
    assert ran(place, *draw, "trust=[my_package]").returncode == 0


def test_it_takes_part_in_a_sweep_in_other_processes(place):
    done = ran(place, "train.py", "-m", *TINY, "model.act=relu,gelu", "hydra/launcher=two_at_once")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 2
