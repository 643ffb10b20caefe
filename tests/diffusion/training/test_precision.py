"""Number formats: what is computed in less than float32 must never spoil the weights."""

import pytest
import torch
from tiny_training import CPU, tiny_images, tiny_learner

from diffusion.compute.precision import autocast
from diffusion.data.loader import batches
from diffusion.training.learner import SMALLEST_SCALE, Draws


def weights(learner):
    return [weight.detach().clone() for weight in learner.model.parameters()]


def learn(learner, weight):
    """One step on two images, whose loss counts `weight` times."""
    batch = next(batches(tiny_images(), batch_size=2, seed=0))
    draws = learner.draw(batch)
    learner.learn(batch.x_0, Draws(draws.t, draws.weights * weight, draws.eps), 1.0, batch.condition)


@pytest.mark.parametrize("kind, dtype", [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_only_the_network_computes_in_another_format(kind, dtype):
    with autocast(kind, CPU):
        assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype
    learner = tiny_learner(precision=kind)
    learn(learner, 1.0)
    assert all(weight.dtype == torch.float32 for weight in learner.model.parameters())


@pytest.mark.parametrize("kind, tolerance", [("bf16", 2**-8), ("fp16", 2**-11)])
def test_the_loss_agrees_with_float32_to_the_digits_of_the_format(kind, tolerance):
    losses = []
    for each in ("float32", kind):
        learner = tiny_learner(precision=each)
        learn(learner, 1.0)
        losses.append(learner.readings()["loss"])
    # Half a unit in the last place at every layer, of which there are about ten in a row.
    assert losses[1] == pytest.approx(losses[0], rel=10 * tolerance)


def test_an_overflow_in_fp16_skips_the_step_and_halves_the_scale():
    learner = tiny_learner(precision="fp16")
    before, averages, scale = weights(learner), learner.ema.state_dict()["0.5"], learner.scaler.get_scale()
    averages = {name: average.clone() for name, average in averages.items()}
    learn(learner, 1e6)
    assert all(map(torch.equal, weights(learner), before))
    assert all(torch.equal(average, averages[name]) for name, average in learner.ema.state_dict()["0.5"].items())
    readings = learner.readings()
    assert readings["skipped_steps"] == 1 and readings["loss_scale"] == scale / 2
    assert learner.steps_done == 1 and "grad_norm" not in readings


def test_fp16_finds_a_scale_that_fits_and_goes_on():
    learner = tiny_learner(precision="fp16")
    before = weights(learner)
    while learner.scaler.get_scale() > 64:
        learn(learner, 3e3)
    learn(learner, 1e-2)
    assert not any(map(torch.equal, weights(learner), before))
    assert all(torch.isfinite(weight).all() for weight in weights(learner))


def test_when_no_scale_helps_fp16_stops_with_the_weights_as_they_were():
    learner = tiny_learner(precision="fp16")
    before = weights(learner)
    with pytest.raises(ValueError, match=r"overflows fp16 at any scale; use train\.precision=bf16"):
        for _ in range(100):
            learn(learner, 1e30)
    assert learner.scaler.get_scale() == SMALLEST_SCALE / 2
    assert all(map(torch.equal, weights(learner), before))
