import torch

from diffusion.evaluation.neighbours import nearest, variety
from diffusion.evaluation.recognition import Labelled, as_many


def images(count, seed):
    return 2 * torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) - 1


def test_the_nearest_is_the_nearest_of_all_in_pixels_from_0_to_1():
    x, others = images(300, 0), images(50, 1)
    every = ((x[:, None] - others) / 2).square().sum((2, 3, 4)).sqrt()
    found = nearest(x, others)
    assert torch.equal(found.which, every.argmin(1))
    assert torch.allclose(found.distance, every.min(1).values)


def test_a_copy_is_told_from_a_near_copy():
    x = images(30, 0)
    assert nearest(x, x).distance.max() == 0
    assert nearest(x + 1e-6, x).distance.min() > 0


def test_variety_is_the_mean_distance_of_pairs_within_a_class():
    x = torch.tensor([-1.0, 1.0, 0.0, -1.0, -0.8]).view(5, 1, 1, 1).expand(5, 1, 2, 2)
    y = torch.tensor([3, 3, 3, 7, 7])
    # Four pixels double a pixel's distance: (2 + 1 + 1) / 3 among the threes, 0.2 among the sevens.
    assert abs(variety(x, y) - (4 / 3 + 0.2) / 2) < 1e-6


def test_as_many_of_each_class():
    x, y = images(6, 0), torch.tensor([0, 1, 1, 0, 1, 0])
    chosen = as_many(Labelled(x, y), Labelled(x[:3], y[:3]))
    assert chosen.y.tolist() == [0, 1, 1] and torch.equal(chosen.x, x[:3])
