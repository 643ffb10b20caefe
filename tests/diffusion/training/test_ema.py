"""Averages of the weights."""

import pytest
import torch
from tiny_training import tiny_trainer
from torch import nn

from diffusion.training.ema import EMA, WithWeights


def test_an_average_approaches_fixed_weights_geometrically_at_each_rate():
    model = nn.Linear(3, 2)
    ema = EMA(model, (0.5, 0.9))
    start, target = {k: w.detach().clone() for k, w in model.named_parameters()}, 1.0
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(target)
    for _ in range(6):
        ema.update()
    for rate, average in ((r, ema.state_dict()[str(r)]) for r in (0.5, 0.9)):
        for name, value in average.items():
            assert torch.allclose(value, rate**6 * start[name] + (1 - rate**6) * target, rtol=0, atol=1e-6)


def test_before_the_first_step_it_is_a_copy():
    model = nn.Linear(3, 2)
    ema = EMA(model, (0.9999,))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in ema.state_dict()["0.9999"].items())
    with torch.no_grad():
        model.weight.zero_()
    assert ema.state_dict()["0.9999"]["weight"].any()


def test_a_state_brings_back_every_rate():
    before, after = EMA(nn.Linear(3, 2), (0.5, 0.9)), EMA(nn.Linear(3, 2), (0.5, 0.9))
    after.load_state_dict(before.state_dict())
    for rate, average in before.state_dict().items():
        assert all(torch.equal(value, after.state_dict()[rate][name]) for name, value in average.items())


def test_a_model_called_with_an_average_keeps_its_own_weights():
    model, x = nn.Linear(3, 2), torch.ones(1, 3)
    model.conditions = ("y",)
    own = model(x)
    zeros = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    averaged = WithWeights(model, zeros)
    assert torch.equal(averaged(x), torch.zeros(1, 2)) and averaged.conditions == ("y",)
    assert torch.equal(model(x), own)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 9999])
def test_a_rate_that_averages_nothing_is_refused(rate):
    with pytest.raises(ValueError, match=rf"got {rate}; set train.ema_rates="):
        tiny_trainer(ema_rates=(0.5, rate))
