"""What is compared with what, and by how many images of either."""

import pytest
import torch

from diffusion.evaluation.comparison import comparison
from diffusion.evaluation.features import Extracted


def in_turn(count):
    """Features of images that show each of ten classes in turn, all images of a class alike."""
    return torch.eye(10)[torch.arange(count) % 10]


@pytest.mark.parametrize("drawn, real", [(500, 100), (100, 500)])
def test_precision_and_recall_see_all_classes_of_a_larger_set_that_shows_each_in_turn(drawn, real):
    ways = comparison(Extracted(in_turn(drawn)), in_turn(real), neighbours=3, place="cpu")
    assert (ways["precision"]().mean, ways["recall"]().mean) == (1, 1)


def test_precision_and_recall_take_the_whole_of_the_smaller_set():
    odd = torch.cat([in_turn(99), torch.full((1, 10), 9.0)])
    assert comparison(Extracted(odd), in_turn(500), neighbours=3, place="cpu")["precision"]().mean == 0.99
    assert comparison(Extracted(in_turn(500)), odd, neighbours=3, place="cpu")["recall"]().mean == 0.99
