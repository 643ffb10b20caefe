"""Puts this folder on the path, so that tests read the golden numbers with `from golden import load_golden`.

No test touches what its user has cached, or the network.
"""

import os
import sys
from itertools import count
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the programs that tests start
os.environ["HF_HUB_OFFLINE"] = "1"  # diffusers shall never look beyond the folders that it is given
torch.set_num_threads(1)  # these tensors are too small to share: on a busy machine, threads wait for each other


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A folder of its own for whatever a test, or a program that it starts, caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def fixed_speed(monkeypatch, request):
    """Training is told what its network and device can do: to measure it takes longer than the few steps of a test."""
    if "measured_speed" not in request.fixturenames:
        monkeypatch.setattr("diffusion.training.throughput.matmul_speed", lambda *_: 1e12)
        monkeypatch.setattr("diffusion.training.throughput.flops", lambda *_: 1e9)


@pytest.fixture
def measured_speed():
    """Training measures them, as it does for a user."""


@pytest.fixture
def slow(monkeypatch):
    """Each look at the clock of long work finds it a second later, so that whatever tells of itself does so."""
    monkeypatch.setattr("diffusion.compute.progress.monotonic", count().__next__)
