"""Sines and cosines of the pixels, which make small differences visible."""

import math

import pytest
import torch

from unet import UNet, export_released
from unet.fourier import FourierFeatures


def test_each_channel_has_a_sine_and_a_cosine_of_each_power():
    x = torch.rand(2, 3, 4, 4) * 2 - 1
    features = FourierFeatures([0, 5])
    seen = features(x)
    assert seen.shape[1] == features.count(3) == 15
    expected = [x, (math.pi * x).sin(), (math.pi * x).cos(), (32 * math.pi * x).sin(), (32 * math.pi * x).cos()]
    assert torch.allclose(seen, torch.cat(expected, 1), atol=1e-5)


def test_neighbouring_values_of_a_pixel_lie_far_apart():
    values = torch.tensor([0.0, 2 / 255]).view(2, 1, 1, 1)
    one, other = FourierFeatures([6])(values)
    assert (one[0] - other[0]).abs().item() < 0.01 and (one[1] - other[1]).abs().item() > 0.9


def test_no_power_leaves_the_network_as_it_was(tiny):
    plain, same = tiny(), tiny(fourier_features=())
    x, time = torch.randn(2, 3, 8, 8), torch.zeros(2)
    assert torch.equal(plain(x, time), same(x, time)) and plain.state_dict().keys() == same.state_dict().keys()


@pytest.mark.parametrize("dims", [1, 2])
def test_a_network_sees_them(tiny, dims):
    network = tiny(fourier_features=(4, 6), dims=dims, attention_resolutions=())
    assert isinstance(network, UNet) and network.trunk.stem.in_channels == 15
    assert network(torch.randn(2, 3, *[8] * dims), torch.zeros(2)).shape == (2, 3, *[8] * dims)
    with pytest.raises(ValueError, match="fourier_features has no released names"):
        export_released(network)


@pytest.mark.parametrize("powers", [(6, 6), (-1,), (13,)])
def test_powers_that_make_no_sense_are_refused(tiny, powers):
    with pytest.raises(ValueError, match=r"set 'model\.fourier_features=\[6,7\]', or \[\]"):
        tiny(fourier_features=powers)
