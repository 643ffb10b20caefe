"""Averages of the weights."""

import pytest
import torch
from modern_cases import assert_modern, modern, tensors
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
    for step in range(1, 7):
        ema.update(step)
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


def averages_of(weights, rate, ramp=None, power=None):
    """The average after each of the updates that lead from one row of `weights` to the next."""
    model = nn.Linear(weights.shape[1], 1, bias=False).double()
    model.weight.data[0] = weights[0]
    ema, averages = EMA(model, (rate,), ramp=ramp, power=power), []
    for step, row in enumerate(weights[1:], 1):
        model.weight.data[0] = row
        ema.update(step)
        averages.append(ema.state_dict()[str(rate)]["weight"][0].clone())
    return torch.stack(averages)


LEFT_OUT = {"the ramp of the first EDM code, which counts the images before the step": ["ema_halflife_ramp_edm"]}
LATER = modern(25, "ema_halflife", without=[case for cases in LEFT_OUT.values() for case in cases])


@pytest.mark.parametrize("case, inputs, expected", LATER)
def test_a_ramp_of_the_half_life(case, inputs, expected):
    args, weights = case["args"], tensors(inputs)["weights"]
    rate = 0.5 ** (args["batch"] / args["halflife_images"])
    assert_modern(case, "averages", averages_of(weights, rate, args["rampup_ratio"]), expected["averages"])


@pytest.mark.parametrize("case, inputs, expected", [case for case in modern(25) if case.id == "ema_diffusers_plain"])
def test_an_average_that_starts_late_in_its_rate(case, inputs, expected):
    """Without warm-up its decay is min((1 + k) / (10 + k), rate): the plain average from where the two meet."""
    decays = torch.from_numpy(expected["decays"])
    full = (decays == case["args"]["decay"]).nonzero().flatten()
    if len(full):
        first = int(full[0])
        weights, averages = tensors(inputs)["weights"], torch.from_numpy(expected["averages"])
        begin = torch.cat([averages[first - 1 : first], weights[-(len(decays) - first) :]])
        assert torch.allclose(averages_of(begin, 0.9), averages[first:], rtol=0, atol=1e-9)


@pytest.mark.parametrize("case, inputs, expected", [case for case in modern(25) if case.id == "ema_diffusers_warmup"])
def test_a_power_of_the_steps(case, inputs, expected):
    args, weights = case["args"], tensors(inputs)["weights"]
    got = averages_of(weights, args["decay"], power=args["power"])
    assert_modern(case, "averages", got, expected["averages"])


def test_a_young_average_draws_well():
    # After 191 steps of an average of rate 0.995 a third of it is still what was there at the start.
    weights = torch.linspace(0, 1, 192, dtype=torch.float64)[:, None].sqrt()
    plain, ramped = (averages_of(weights, 0.995, ramp)[-1].item() for ramp in (None, 0.05))
    assert abs(ramped - 1) < 0.05 < 0.3 < abs(plain - 1)
