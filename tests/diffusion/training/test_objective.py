"""The number that a run is compared by."""

import pytest
from tiny_training import tiny_run, tiny_trainer

from diffusion.training import checkpoint, objective


def test_what_is_logged_is_accepted_and_what_is_not_is_named_with_what_is():
    objective.require(None, [])
    objective.require("loss", ["loss", "lr"])
    objective.require("loss_q3", ["loss"])
    with pytest.raises(ValueError, match=r"objective=bits was never logged; this run logged loss, lr; .*evaluations"):
        objective.require("bits", ["step", "images", "lr", "loss"])


def test_a_run_without_its_objective_ends_at_the_first_log_and_keeps_its_steps(tmp_path):
    run = tiny_run(tmp_path / "run", objective="bits_per_dim")
    with pytest.raises(ValueError, match="objective=bits_per_dim was never logged"):
        tiny_trainer(max_steps=9, log_every=2).fit(run)
    assert checkpoint.last_step(run.checkpoints) == 2
    run = tiny_run(tmp_path / "other", objective="grad_norm")
    assert tiny_trainer(max_steps=2).fit(run) == 0
