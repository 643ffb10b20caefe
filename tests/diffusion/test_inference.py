"""A network made ready to draw, and one that may be compiled."""

import logging

import pytest
import torch
from tiny_training import tiny_network
from torch._dynamo.exc import Unsupported

from diffusion.compiled import compiled
from diffusion.inference import Ready

CPU = torch.device("cpu")


@pytest.fixture
def inputs():
    chance = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 1, 8, 8, generator=chance), torch.tensor([0, 1])
    return (x, torch.tensor([1.0, 500.0])), {"y": y}


@torch.no_grad()
def test_a_ready_network_gives_what_it_gave(inputs):
    (x, time), told = inputs
    wanted = tiny_network().eval()(x, time, **told)
    assert torch.allclose(Ready(tiny_network().eval(), CPU)(x, time, **told), wanted, atol=1e-5)
    rounded = Ready(tiny_network().eval(), CPU, precision="bf16")(x, time, **told)
    # bf16 keeps 8 bits of each number, and their errors add up over the layers.
    assert 0 < (rounded - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision=fp8 is none of float32, bf16"):
        Ready(tiny_network(), CPU, precision="fp8")


def test_cpus_are_left_uncompiled_unless_asked():
    network = tiny_network()
    assert compiled(network, CPU, None) is network and compiled(network, CPU, False) is network


def test_a_network_that_cannot_be_compiled_goes_on_and_says_so_once(monkeypatch, caplog, inputs):
    def failing(network, **options):
        def call(*inputs, **condition):
            raise Unsupported("no compiler here\nand more")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    network, (args, told) = tiny_network().eval(), inputs
    fast = compiled(network, CPU, True)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(fast(*args, **told), network(*args, **told))
        assert torch.equal(fast(*args, **told), network(*args, **told))
    assert [record.getMessage() for record in caplog.records] == [
        "Going on without compiling the network, which failed: no compiler here"
    ]
