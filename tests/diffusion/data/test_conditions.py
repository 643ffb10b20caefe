"""Images beside small copies of themselves."""

from itertools import islice

import pytest
import torch
from torch.nn.functional import avg_pool2d

from diffusion.data.conditions import Upsampling, downsampled, low_res_shape
from diffusion.data.loader import batches
from diffusion.data.synthetic import Synthetic


def first(images, count):
    stream = batches(images, batch_size=4, seed=0)
    taken = list(islice(stream, count))
    stream.close()
    return taken


def images(**options):
    return Synthetic(**{"image_size": 8, "channels": 1, "num_classes": 3, "num_images": 12, **options})


def test_a_small_pixel_is_the_mean_of_the_area_it_stands_for():
    x = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(downsampled(x, 4), avg_pool2d(x, 2), atol=1e-6)
    assert torch.allclose(downsampled(x, 2), avg_pool2d(x, 4), atol=1e-6)


def test_each_image_comes_with_its_own_small_copy_also_when_it_is_mirrored():
    plain, flipped = (Upsampling(images=images(flip=flip), low_res_size=2) for flip in (False, True))
    for batch in first(flipped, 3):
        assert torch.equal(batch.condition["low_res"], downsampled(batch.x_0, 2))
    low, mirrored = (torch.cat([batch.condition["low_res"] for batch in first(each, 3)]) for each in (plain, flipped))
    assert not torch.equal(low, mirrored)


def test_the_stream_is_that_of_the_images_alone():
    pairs = zip(
        first(Upsampling(images=images(flip=True), low_res_size=4), 5), first(images(flip=True), 5), strict=True
    )
    for ours, alone in pairs:
        assert torch.equal(ours.x_0, alone.x_0) and torch.equal(ours.condition["y"], alone.condition["y"])
        assert torch.equal(ours.positions, alone.positions)


def test_without_classes_only_the_small_image_is_told():
    unconditional = Upsampling(images=images(), low_res_size=4)
    unconditional.classes = None
    assert first(unconditional, 1)[0].condition.keys() == {"low_res"}
    assert unconditional.prompts(3).condition(range(3)).keys() == {"low_res"}


def test_prompts_are_the_first_images_with_what_they_should_become():
    prompts = Upsampling(images=images(), low_res_size=4).prompts(5)
    assert prompts.labels == [0, 1, 2, 0, 1]
    assert torch.equal(prompts.low_res, downsampled(prompts.true, 4)) and len(prompts.true) == 5
    assert len(Upsampling(images=images(), low_res_size=4).prompts(100).true) == 12


def test_small_images_keep_the_proportions():
    assert low_res_shape((3, 64, 96), 16) == (3, 16, 24) and low_res_shape((1, 96, 64), 16) == (1, 24, 16)


@pytest.mark.parametrize(
    ("size", "message"), [(8, "from 1 to 7"), (0, "from 1 to 7"), (-2, "from 1 to 7"), (3, r"data\.low_res_size=4")]
)
def test_sizes_that_shrink_nothing_or_split_pixels_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        Upsampling(images=images(width=12), low_res_size=size)
