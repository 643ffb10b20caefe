"""Images changed at random, and what is told of them."""

import math

import pytest
import torch

from diffusion.compute.randomness import generator
from diffusion.data.augmentation import Augmentation, resampled, rotation, stretching

IDENTITY = torch.cat([torch.eye(2), torch.zeros(2, 1)], 1)


def chances(count, seed=0):
    return [generator(seed, "augmentation", number) for number in range(count)]


def blob(points):
    """A smooth picture, given by its values at points (..., 2) in [-1, 1]."""
    x, y = points[..., 0] - 0.2, points[..., 1] + 0.1
    return torch.exp(-(8 * x**2 + 16 * y**2 + 6 * x * y))


def picture(matrix=IDENTITY, size=64):
    """The blob, each pixel looked up where the matrix leads from it."""
    places = (torch.arange(size) + 0.5) * 2 / size - 1
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1)
    return blob(grid @ matrix[:, :2].T + matrix[:, 2])[None, None]


def test_zeros_are_told_of_images_that_are_as_they_were_and_of_no_others():
    x = torch.rand(400, 1, 8, 8) * 2 - 1
    changed, told = Augmentation(p=0.1)(x, None), None
    assert torch.equal(changed, torch.zeros(400, 9))
    changed, told = Augmentation(p=0.1).change(x, chances(400))
    same = (changed == x).flatten(1).all(1)
    assert torch.equal(same, (told == 0).all(1)) and 0.2 < same.float().mean() < 0.4
    assert torch.equal(Augmentation(p=0.0).change(x, chances(400))[0], x)


def test_each_change_happens_as_often_as_asked():
    _, told = Augmentation(p=0.3).change(torch.zeros(3000, 1, 4, 4), chances(3000))
    in_x, in_y, scaled, rotated, _, stretched, askew, right, down = (told != 0).T
    asked = {0.5: [in_x], 0.15: [in_y, askew], 0.3: [scaled, rotated, stretched, right]}
    for share, changes in asked.items():
        for happened in changes:
            assert abs(happened.float().mean() - share) < 4 * math.sqrt(share * (1 - share) / 3000)
    assert torch.equal(right, down) and not (askew & ~stretched).any()


def test_mirrored_images_are_exact_copies():
    x = torch.rand(200, 3, 6, 10)
    changed, told = Augmentation(p=0.3, scale=0, stretch=0, translation=0).change(x, chances(200))
    only = (told[:, 2:] == 0).all(1)
    for i in only.nonzero().flatten().tolist():
        axes = [axis for axis, flipped in ((-1, told[i, 0]), (-2, told[i, 1])) if flipped]
        assert torch.equal(changed[i], x[i].flip(axes) if axes else x[i])
    assert only.sum() > 10


@pytest.mark.parametrize(
    "matrix",
    [
        IDENTITY,
        torch.cat([rotation(0.7), torch.zeros(2, 1)], 1),
        torch.cat([torch.eye(2) * 1.3, torch.zeros(2, 1)], 1),
        torch.cat([stretching(1.4, 0.5), torch.tensor([[0.1], [-0.2]])], 1),
    ],
)  # fmt: skip
def test_resampling_looks_up_each_point(matrix):
    inner = slice(16, 48)  # what comes from inside of the picture
    got = resampled(picture(), matrix[None])
    assert torch.allclose(got[..., inner, inner], picture(matrix)[..., inner, inner], rtol=0, atol=0.01)


def test_a_quarter_turn_of_an_oblong_image_keeps_the_shape_of_what_is_in_it():
    x = torch.zeros(1, 1, 8, 16)
    x[..., 2:6, 7:9] = 1  # four high, two wide
    turned = resampled(x, torch.cat([rotation(math.pi / 2), torch.zeros(2, 1)], 1)[None])
    rows, columns = (turned[0, 0, :, 4:12] > 0.5).nonzero().unbind(1)  # beside it, mirrored edges
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (2, 4)


def test_the_numbers_say_how_an_image_was_changed():
    augmentation = Augmentation(p=1.0)
    for chance in chances(20):
        numbers, back = augmentation.drawn(chance)
        angle = math.atan2(numbers[4], numbers[3] + 1)
        axis, amount = math.atan2(numbers[6], numbers[5]) / 2, math.hypot(numbers[5], numbers[6])
        forth = stretching(2 ** (0.2 * amount), axis) @ rotation(angle) * 2 ** (0.2 * numbers[2].item())
        assert torch.allclose(back[:, :2] @ forth, torch.eye(2), rtol=0, atol=1e-5)
        assert torch.allclose(forth @ back[:, 2], -2 * 0.125 * numbers[7:], rtol=0, atol=1e-5)


def test_an_image_is_changed_as_its_own_generator_says():
    x = torch.rand(6, 1, 8, 8)
    whole, _ = Augmentation(p=0.5).change(x, chances(6))
    parts = [Augmentation(p=0.5).change(x[i : i + 2], chances(6)[i : i + 2])[0] for i in (0, 2, 4)]
    assert torch.allclose(whole, torch.cat(parts), rtol=0, atol=1e-6)


def test_settings_that_are_none():
    with pytest.raises(ValueError, match=r"conditions\.augmentation\.p=0\.12"):
        Augmentation(p=1.5)
    with pytest.raises(ValueError, match=r"conditions\.augmentation\.scale=0\.2"):
        Augmentation(scale=-1.0)
