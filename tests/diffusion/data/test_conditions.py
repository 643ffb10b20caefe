"""What a network is told of an image beside the time."""

from itertools import islice

import pytest
import torch
from torch.nn.functional import avg_pool2d

from diffusion.data.conditions import Condition, Label, SmallImage, arguments, available
from diffusion.data.loader import batches
from diffusion.data.synthetic import Synthetic


def first(images, count, **conditions):
    stream = batches(images, {"y": Label(), **conditions}, batch_size=4, seed=0)
    taken = list(islice(stream, count))
    stream.close()
    return taken


def images(**options):
    return Synthetic(**{"image_size": 8, "channels": 1, "num_classes": 3, "num_images": 12, **options})


def test_a_small_pixel_is_the_mean_of_the_area_it_stands_for():
    x = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(SmallImage(size=4)(x, torch.empty(0)), avg_pool2d(x, 2), atol=1e-6)
    assert torch.allclose(SmallImage(size=2)(x, torch.empty(0)), avg_pool2d(x, 4), atol=1e-6)


def test_each_image_comes_with_its_own_small_copy_also_when_it_is_mirrored():
    plain, flipped = (first(images(flip=flip), 3, low_res=SmallImage(size=2)) for flip in (False, True))
    for batch in flipped:
        assert torch.equal(batch.condition["low_res"], SmallImage(size=2)(batch.x_0, torch.empty(0)))
    low, mirrored = (torch.cat([batch.condition["low_res"] for batch in each]) for each in (plain, flipped))
    assert not torch.equal(low, mirrored)


def test_the_stream_is_that_of_the_images_alone():
    told = first(images(flip=True), 5, low_res=SmallImage(size=4))
    for ours, alone in zip(told, first(images(flip=True), 5), strict=True):
        assert torch.equal(ours.x_0, alone.x_0) and torch.equal(ours.condition["y"], alone.condition["y"])
        assert torch.equal(ours.positions, alone.positions)


def test_without_classes_only_the_small_image_is_told():
    unlabelled = images(num_classes=None)
    assert first(unlabelled, 1, low_res=SmallImage(size=4))[0].condition.keys() == {"low_res"}
    assert available({"y": Label()}, unlabelled.classes) == {}


class Brightness(Condition):
    def __call__(self, x_0, labels):
        return x_0.mean((1, 2, 3))


def test_a_condition_of_ones_own_is_told_by_the_name_that_it_is_given():
    (batch,) = first(images(), 1, light=Brightness())
    assert torch.equal(batch.condition["light"], batch.x_0.mean((1, 2, 3)))
    assert arguments({"light": Brightness()}, batch.x_0, batch.condition["y"]).keys() == {"light"}


def test_small_images_keep_the_proportions():
    small = SmallImage(size=16)
    assert small.image_shape((3, 64, 96)) == (3, 16, 24) and small.image_shape((1, 96, 64)) == (1, 24, 16)


@pytest.mark.parametrize(
    ("size", "message"),
    [(8, "from 1 to 7"), (0, "from 1 to 7"), (-2, "from 1 to 7"), (3, r"conditions\.low_res\.size=4")],
)
def test_sizes_that_shrink_nothing_or_split_pixels_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        SmallImage(size=size).image_shape(images(width=12).shape)
