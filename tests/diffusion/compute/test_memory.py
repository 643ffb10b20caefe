"""What no memory holds is refused with both numbers, and nothing is allocated to find out."""

import pytest
import torch
from torch import nn

from diffusion.compute.memory import bytes_of, check_pixels, check_room


def test_the_bytes_of_a_network_are_those_of_its_numbers_even_without_them():
    with torch.device("meta"):
        assert bytes_of(nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))) == 4 * (15 + 5 + 4 * 5) + 8


def test_what_fits_passes_and_what_does_not_names_both_sizes():
    check_room(10**6, "a network", "set a smaller model")
    check_pixels(64, (3, 64, 64), "set fewer")
    with pytest.raises(ValueError, match=r"^10{15} images of 3x64x64 would take .* GB, .* has .*; set fewer$"):
        check_pixels(10**15, (3, 64, 64), "set fewer")
