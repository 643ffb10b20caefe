"""A network made ready to draw, and one that may be compiled."""

import logging
import shutil

import pytest
import torch
from tiny_training import tiny_network, tiny_run
from torch._dynamo.exc import Unsupported

from diffusion.compute.compilation import compile_network
from diffusion.compute.device import channels_last
from diffusion.inference.fast_network import FastNetwork, make_fast

CPU = torch.device("cpu")
CLASSES = {"y": torch.tensor([0, 1])}


@pytest.fixture
def inputs():
    chance = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 1, 8, 8, generator=chance), torch.tensor([0, 1])
    return (x, torch.tensor([1.0, 500.0])), {"y": y}


@torch.no_grad()
def test_a_ready_network_gives_what_it_gave(inputs):
    (x, time), told = inputs
    wanted = tiny_network().eval()(x, time, **told)
    assert torch.allclose(FastNetwork(tiny_network().eval(), CPU)(x, time, **told), wanted, atol=1e-5)
    rounded = FastNetwork(tiny_network().eval(), CPU, precision="bf16")(x, time, **told)
    # bf16 keeps 8 bits of each number, and their errors add up over the layers.
    assert 0 < (rounded - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_labels_and_times_that_are_not_one_for_each_image_are_refused(inputs):
    (x, time), _ = inputs
    network = tiny_network().eval()
    with pytest.raises(ValueError, match=r"labels y have shape \(1,\); pass one for each image: \(2,\)"):
        network(x, time, y=torch.tensor([1]))
    for wrong in (time[:1], time[:, None]):
        with pytest.raises(ValueError, match=r"time has shape .*; pass one for each image"):
            network(x, wrong, **CLASSES)


def test_a_network_of_volumes_stays_as_it_lies_in_memory():
    volumes = torch.nn.Sequential(torch.nn.Conv3d(2, 2, 3), torch.nn.Conv2d(2, 2, 3))
    channels_last(volumes)
    assert volumes[0].weight.is_contiguous()
    assert volumes[1].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_ready_network_is_told_what_it_was_told():
    assert FastNetwork(tiny_network(), CPU).conditions == ("y",)


def test_an_unknown_precision_is_refused(tmp_path):
    model = tiny_run(tmp_path).trained(tiny_network())
    with pytest.raises(ValueError, match="precision=fp8 is none of float32, tf32, bf16, auto"):
        make_fast(model, compile=False, precision="fp8", batch_size=2)


class Scaled(torch.nn.Module):
    """x times a weight: the least that can be compiled."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0]))
        self.sizes = []

    def forward(self, x, time, y):
        if not torch.compiler.is_compiling():
            self.sizes.append((len(x), len(time), len(y)))
        return self.weight * x * y[:, None]


@pytest.mark.skipif(not shutil.which("g++"), reason="compiles for a CPU")
@torch.no_grad()
def test_a_compiled_network_has_its_weights_inside(caplog):
    network = Scaled()
    fast = compile_network(network, CPU, True, frozen=True)
    x, time, y = torch.ones(3, 1), torch.zeros(3), torch.tensor([1, 2, 3])
    assert fast(x, time, y=y).flatten().tolist() == [2, 4, 6]
    network.weight.fill_(9.0)
    assert fast(x, time, y=y).flatten().tolist() == [2, 4, 6]
    said = [record.getMessage() for record in caplog.records if record.name.startswith("diffusion")]
    assert not network.sizes and not said  # nothing was computed otherwise


def test_a_compiled_network_sees_batches_of_one_size(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)
    network = Scaled()
    ready = FastNetwork(network, CPU, compile=True)
    for count in (4, 4, 1):
        x, y = torch.randn(count, 1), torch.arange(count)
        assert torch.equal(ready(x, torch.zeros(count), y=y), 2 * x * y[:, None])
    assert network.sizes == [(4, 4, 4)] * 3


def test_the_first_call_says_that_it_compiles_and_how_to_do_without(monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)
    with caplog.at_level(logging.INFO):
        fast = compile_network(Scaled(), CPU, True, setting="train.compile")
        assert not caplog.records
        for _ in range(2):
            fast(torch.ones(1, 1), torch.zeros(1), y=torch.ones(1))
    assert caplog.messages == ["Compiling the network: a minute or more; train.compile=false does without"]


def test_cpus_are_left_uncompiled_unless_asked():
    network = tiny_network()
    assert compile_network(network, CPU, None) is network and compile_network(network, CPU, False) is network


def test_a_network_that_cannot_be_compiled_goes_on_and_says_so_once(monkeypatch, caplog, inputs):
    def failing(network, **options):
        def call(*inputs, **condition):
            raise Unsupported("no compiler here\nand more")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    network, (args, told) = tiny_network().eval(), inputs
    fast = compile_network(network, CPU, True)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(fast(*args, **told), network(*args, **told))
        assert torch.equal(fast(*args, **told), network(*args, **told))
    assert [record.getMessage() for record in caplog.records] == [
        "Going on without compiling the network, which failed: no compiler here"
    ]
