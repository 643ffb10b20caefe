"""What a network is told of the images that it shall draw."""

import numpy as np
import torch
from diffusion.data.prompts import Prompts

from diffusion.pictures.grid import grid


def flat(*values: float) -> torch.Tensor:
    """One image (1, 2, 2) of each grey."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def test_lists_start_again_when_they_end():
    prompts = Prompts(labels=[5, 7], low_res=flat(-1, 0, 1))
    condition = prompts.condition(range(2, 7))
    assert condition["y"].tolist() == [5, 7, 5, 7, 5]
    assert condition["low_res"][:, 0, 0, 0].tolist() == [1, -1, 0, 1, -1]
    assert Prompts().condition(range(3)) == {}


def test_no_more_images_are_enlarged_than_there_are():
    assert Prompts(low_res=flat(-1, 0, 1)).at_most(64) == 3
    assert Prompts(low_res=flat(-1, 0, 1)).at_most(2) == 2
    assert Prompts(labels=[1]).at_most(64) == 64


def test_an_enlarged_image_stands_between_the_small_and_the_true_one():
    drawn, true = (torch.full((2, 1, 4, 4), grey) for grey in (0.5, 1.0))
    small = flat(-1.0, 0.0)
    enlarged = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = torch.cat([enlarged[:1], drawn[:1], true[:1], enlarged[1:], drawn[1:], true[1:]])
    assert np.array_equal(Prompts(low_res=small, true=true).picture(drawn), grid(expected, columns=12))
    without = torch.cat([enlarged[:1], drawn[:1], enlarged[1:], drawn[1:]])
    assert np.array_equal(Prompts(low_res=small).picture(drawn), grid(without, columns=12))


def test_classes_are_columns_while_they_fit():
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for labels, columns in [(list(range(10)), 10), ([0, 1, 2, 3], 8), (list(range(1000)), 7), (None, 7)]:
        assert np.array_equal(Prompts(labels).picture(x), grid(x, columns=columns))
