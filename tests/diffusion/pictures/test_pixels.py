"""uint8 and back, to the bit."""

import numpy as np
import torch

from diffusion.pictures.pixels import from_uint8, to_uint8

LEVELS = torch.arange(256, dtype=torch.uint8)


def test_all_levels_return_exactly():
    assert torch.equal(to_uint8(from_uint8(LEVELS)), LEVELS)


def test_floats_equal_the_original_arithmetic_to_the_bit():
    assert np.array_equal(from_uint8(LEVELS).numpy(), LEVELS.numpy().astype(np.float32) / 127.5 - 1)


def test_values_between_levels_round_to_the_nearest_and_beyond_are_clipped():
    x = torch.tensor([-3.0, 10.4 / 127.5 - 1, 10.6 / 127.5 - 1, 3.0])
    assert to_uint8(x).tolist() == [0, 10, 11, 255]
