"""A number that is not finite is traced to the layer that made it."""

import pytest
import torch
from tiny_training import tiny_network, tiny_run, tiny_trainer

from diffusion.training.loop import fit
from diffusion.training.not_finite import NotFinite, detect_anomalies


def test_the_layer_that_overflows_is_named(tmp_path):
    run = tiny_run(tmp_path / "run", dropout=0.0)
    with torch.no_grad():
        run.model.get_submodule("trunk.stem").weight[0, 0, 0, 0] = torch.finfo(torch.float32).max
    with pytest.raises(NotFinite, match=r"the output of trunk\.stem \(Conv2d\) in step 0 is not finite.*no checkpoint"):
        fit(tiny_trainer(max_steps=2, detect_anomaly=True), run)


def test_the_layer_whose_gradient_overflows_is_named():
    network, x = tiny_network(), torch.randn(2, 1, 8, 8)
    with detect_anomalies(network, lambda: 7):
        output = network(x, torch.zeros(2), torch.zeros(2, dtype=torch.long))
        with pytest.raises(NotFinite, match=r"the gradient of the output of head\.\d \(Conv2d\) in step 7"):
            (output * 1e38).pow(2).sum().backward()
    assert not any(layer._forward_hooks for layer in network.modules())


def test_a_weight_whose_gradient_overflows_is_named():
    layer = torch.nn.Linear(1, 1)
    with detect_anomalies(layer, lambda: 3), pytest.raises(NotFinite, match="the gradient of weight in step 3"):
        layer(torch.full((9, 1), 1e38)).mul(10).sum().backward()


def test_who_looks_does_not_disturb(tmp_path):
    states = []
    for look in (False, True):
        run = tiny_run(tmp_path / str(look))
        fit(tiny_trainer(max_steps=3, detect_anomaly=look), run)
        states.append(run.model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_fp16_overflows_every_so_often():
    with pytest.raises(ValueError, match=r"set train\.precision=float32"):
        tiny_trainer(detect_anomaly=True, precision="fp16")


def test_a_layer_that_gives_more_than_a_tensor_is_passed_over():
    layer = torch.nn.GRU(2, 3)
    with detect_anomalies(layer, lambda: 1):
        output, _ = layer(torch.randn(4, 1, 2))
        output.sum().backward()
    assert layer.weight_hh_l0.grad is not None
