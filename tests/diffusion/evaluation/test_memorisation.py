import torch

from diffusion.data.synthetic import Synthetic
from diffusion.evaluation.memorisation import Novelty, closest_to_farthest, nearest, novelty
from diffusion.evaluation.recognition import matching_counts, variety
from diffusion.pictures.grid import GAP
from diffusion.pictures.lettering import LINE

CPU = torch.device("cpu")


def images(count, seed):
    return 2 * torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) - 1


def rows(count, seed):
    return images(count, seed).flatten(1)


def test_the_nearest_is_the_nearest_of_all_whatever_the_parts():
    x, others = rows(300, 0), rows(50, 1)
    every = (x[:, None] - others).square().sum(2).sqrt()
    for size in (50, 7):
        distance, which = nearest(x, iter(others.split(size)))
        assert torch.equal(which, every.argmin(1))
        assert torch.allclose(distance, every.min(1).values)


def test_a_copy_is_told_from_a_near_copy():
    x = rows(30, 0)
    assert nearest(x, [x])[0].max() == 0
    assert nearest(x + 1e-6, [x])[0].min() > 0


def test_copies_are_what_lies_nearer_than_any_unseen_image():
    learned, unseen = rows(20, 0), rows(20, 1)
    drawn = torch.cat([learned[:3], rows(5, 1)])
    new = novelty(drawn, unseen, learned.split(6), place=CPU)
    assert new.copies == 3
    assert new.numbers("x")["copies_x"] == 3 / 8
    assert novelty(drawn, None, [learned], place=CPU).numbers("x").keys() == {"nearest_training_distance_x"}


def test_the_closest_the_median_and_the_farthest_are_shown_with_or_without_classes():
    distance = torch.arange(40.0).flip(0)
    by_distance = closest_to_farthest(distance)
    assert [distance[row].min().item() for row in by_distance] == [0, 15, 30] and by_distance.shape == (3, 10)
    y = torch.arange(40) % 4
    by_class = closest_to_farthest(distance, y)
    assert by_class.shape == (3, 4) and (y[by_class] == torch.arange(4)).all()
    assert distance[by_class].tolist() == [[3, 2, 1, 0], [19, 18, 17, 16], [39, 38, 37, 36]]


def test_a_picture_of_pairs_shows_the_neighbour_below_its_image_in_colour_too():
    training = Synthetic(image_size=8, channels=3, num_classes=2, num_images=12)
    pixels = training.read(range(5)).pixels
    found = Novelty(torch.arange(5.0), torch.arange(5), None)
    picture = found.pairs(pixels, training, torch.tensor([[0, 1], [2, 3], [4, 0]]), ["cat"] * 5)
    height = (picture.shape[0] + GAP) // 6  # words above each row, a gap below all but the last
    assert picture.shape[2] == 3
    for row in (0, 2, 4):
        upper, lower = (picture[(row + i) * height + LINE : (row + i + 1) * height - GAP, -802:] for i in (0, 1))
        assert (upper == lower).all() and upper.std() > 0


def test_variety_is_the_mean_distance_of_pairs_within_a_class():
    x = torch.tensor([-1.0, 1.0, 0.0, -1.0, -0.8]).view(5, 1, 1, 1).expand(5, 1, 2, 2)
    y = torch.tensor([3, 3, 3, 7, 7])
    # Four pixels double a pixel's distance: (2 + 1 + 1) / 3 among the threes, 0.2 among the sevens.
    assert abs(variety(x, y) - (4 / 3 + 0.2) / 2) < 1e-6


def test_as_many_of_each_class():
    y = torch.tensor([0, 1, 1, 0, 1, 0])
    assert matching_counts(y, y[:3]).tolist() == [0, 1, 2]
