"""What a network computes, counted."""

import pytest
import torch
from tiny_training import tiny_network
from torch import nn

from diffusion.compute.flops import TRAINING, flops, matmul_speed
from unet import UNet


def test_a_convolution_counts_two_operations_a_weight_and_pixel():
    class Convolution(nn.Conv2d):
        def forward(self, x, time):
            return super().forward(x)

    x = torch.zeros(3, 2, 8, 8)
    assert flops(Convolution(2, 5, 3, padding=1), x, torch.zeros(3), {}) == 2 * (2 * 5 * 9) * 64


def test_attention_counts_two_products_of_all_pairs_of_positions():
    def count(resolutions):
        network = UNet(
            image_size=8, in_channels=1, out_channels=1, base_channels=8, channel_mult=(1, 1), blocks_per_level=1,
            attention_resolutions=resolutions, heads=2, norm_groups=8,
        )  # fmt: skip
        return flops(network, torch.zeros(1, 1, 8, 8), torch.zeros(1), {})

    layers, positions, channels = 3, 64, 8  # one going down, two going up
    pairs, pointwise = 2 * positions**2 * channels, 4 * positions * channels**2
    assert count((8,)) - count(()) == layers * 2 * (pairs + pointwise)


def test_the_paper_s_cifar_10_network_costs_50_gigaflop_an_image_and_recomputing_counts_once():
    options = dict(image_size=32, in_channels=3, out_channels=6, channel_mult=(1, 2, 2, 2), blocks_per_level=3)
    with torch.device("meta"):
        plain, sparing = UNet(**options), UNet(**options, checkpoint=(32, 16))
    x, time = torch.zeros(1, 3, 32, 32), torch.zeros(1)
    assert TRAINING * flops(plain, x, time, {}) == pytest.approx(50.3e9, rel=0.001)
    assert flops(sparing, x, time, {}) == flops(plain, x, time, {})


def test_a_batch_counts_as_one_image_with_its_condition():
    x, y = torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)
    network = tiny_network()
    assert flops(network, x, torch.zeros(4), {"y": y}) == flops(network, x[:1], torch.zeros(1), {"y": y[:1]}) > 0


def test_matrix_products_have_a_speed():
    assert matmul_speed(torch.device("cpu")) > 1e8
