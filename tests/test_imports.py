"""Importing the library, every module but those of its commands, changes nothing in the process that imports it."""

import os
import runpy
import subprocess
import sys
import textwrap

import pytest

import diffusion

PROGRAM = """
import atexit, importlib, logging, os, random, signal, sys, warnings
from pathlib import Path
import hydra, numpy, PIL.Image, torch, torchvision, wandb  # what they change is theirs

forks = []
os.register_at_fork = lambda **given: forks.append(given)


def process():
    root = logging.getLogger()
    yield "environment", dict(os.environ)
    yield "warnings", list(warnings.filters)
    yield "signals", {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield "logging", (root.handlers[:], root.level, logging.raiseExceptions)
    yield "threads", (torch.get_num_threads(), torch.get_num_interop_threads())
    yield "torch", (torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.is_grad_enabled())
    yield "determinism", (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
    yield "randomness", (torch.initial_seed(), torch.get_rng_state().sum().item(), random.getstate())
    yield "numpy", numpy.random.get_state()[1].sum()
    yield "path", sys.path[:]
    yield "hooks", (sys.excepthook, sys.displayhook, atexit._ncallbacks(), forks[:])
    yield "images", PIL.Image.MAX_IMAGE_PIXELS
    yield "folder", os.getcwd()


import diffusion, unet

before = dict(process())
home = Path(diffusion.__file__).parents[1]
files = [file.relative_to(home).with_suffix("") for top in ("diffusion", "unet") for file in (home / top).rglob("*.py")]
names = [".".join(file.parts).removesuffix(".__init__") for file in files]
for name in names:
    if not name.startswith("diffusion.cli") and not name.endswith("__main__"):
        importlib.import_module(name)
changed = [what for what, value in process() if value != before[what]]
assert len(names) > 100 and not changed, changed
"""


def test_importing_changes_nothing_in_the_process():
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_system_that_it_does_not_run_on_is_told_so_in_one_line(monkeypatch):
    monkeypatch.setattr(os, "name", "nt")
    with pytest.raises(SystemExit, match=r"^hydra-diffusion runs on Linux and macOS; on Windows, run it in WSL .*$"):
        runpy.run_path(diffusion.__file__)
