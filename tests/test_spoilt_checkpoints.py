"""Spoilt checkpoints run no code, load nothing wrong, and are refused in one line; the hostile bench tries hundreds."""

import importlib
import logging
import random
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_state

from diffusion.runs.checkpoints import load_newest, save_checkpoint


@pytest.fixture
def spoiling(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks" / "hostile")
    return importlib.import_module("spoiling")


def state(step):
    model = {name: torch.full((300,), step + number) for number, name in enumerate("abc")}
    return {**tiny_state(step), "model": model, "ema": {"0.9": {"a": torch.zeros(4)}}}


def same(one, other):
    return one["step"] == other["step"] and all(torch.equal(one["model"][name], other["model"][name]) for name in "abc")


@pytest.mark.filterwarnings("ignore")
def test_what_is_spoilt_is_passed_over_for_the_file_before(spoiling, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.WARNING)
    ways = [*spoiling.bombs(), *spoiling.archives(), *spoiling.damages(random.Random(0), 12)]
    assert len(ways) > 40
    for number, (name, spoil) in enumerate(ways):
        folder = tmp_path / str(number) / "checkpoints"
        save_checkpoint(folder, state(2), keep=2, keep_every=None)
        spoil(save_checkpoint(folder, state(4), keep=2, keep_every=None))
        caplog.clear()
        found = load_newest(folder.parent)
        assert same(found, state(4)) or (same(found, state(2)) and len(caplog.messages) == 1), name
        assert all(message.isprintable() for message in caplog.messages), name
        assert not (tmp_path / spoiling.MARK).exists(), name
