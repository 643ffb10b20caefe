"""Images made from their number."""

import torch

from diffusion.data.synthetic import Synthetic


def test_an_image_depends_on_its_number_alone():
    few, many = Synthetic(image_size=16, num_images=3), Synthetic(image_size=16, num_images=5)
    assert torch.equal(few.pixels, many.pixels[:3])
    assert len(many.pixels.flatten(1).unique(dim=0)) == 5


def test_any_shape_and_channels():
    images = Synthetic(image_size=12, width=20, channels=1, num_images=2)
    assert images.shape == (1, 12, 20) == tuple(images[0][0].shape)


def test_images_are_smooth_shapes_and_no_noise():
    pixels = Synthetic(image_size=64, num_images=16).pixels.float()
    assert pixels.flatten(1).std(1).min() > 5
    assert pixels.diff(dim=-1).abs().mean() < 0.1 * pixels.std()


def test_the_class_is_to_be_seen():
    images = Synthetic(image_size=32, num_classes=4, num_images=16)
    assert images.classes == ("0", "1", "2", "3") and images.labels.tolist() == [0, 1, 2, 3] * 4
    corners = images.pixels[..., ::31, ::31].float()  # no disc reaches so far
    across, down = (corners.diff(dim=dim).abs().amax((1, 2, 3)) for dim in (-1, -2))
    is_across = images.labels % 2 == 0
    assert across[is_across].min() > 10 and down[is_across].max() <= 1
    assert down[~is_across].min() > 10 and across[~is_across].max() <= 1


def test_without_classes_there_are_no_labels():
    images = Synthetic(image_size=8, num_images=2)
    assert images.classes is None and images.labels.tolist() == [-1, -1]
