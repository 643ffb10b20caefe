import pytest
import torch
from torch.nn import functional as F

from unet import SuperResolutionUNet, UNet, export_released, load_released


@pytest.mark.parametrize(
    "dims, size, small, mode",
    [(1, (8,), (4,), "linear"), (2, (8, 12), (2, 4), "bilinear"), (3, (3, 8, 8), (3, 2, 4), "trilinear")],
)
def test_it_is_a_unet_of_both_images(tiny, dims, size, small, mode):
    network, both = tiny(SuperResolutionUNet, dims=dims), tiny(UNet, dims=dims, in_channels=6)
    load_released(both, export_released(network))
    x, time, low_res = torch.randn(2, 3, *size), torch.tensor([1, 20]), torch.randn(2, 3, *small)
    resized = F.interpolate(low_res, size, mode=mode, align_corners=False, antialias=False)
    assert torch.equal(network(x, time, low_res), both(torch.cat([x, resized], dim=1), time))


@pytest.mark.parametrize(
    "x, low_res, message",
    [
        ((2, 3, 8, 8), None, "pass low_res"),
        ((2, 3, 8, 8), (1, 3, 4, 4), "as many small images as images"),
        ((2, 3, 8, 8), (2, 1, 4, 4), "the same channels"),
        ((2, 3, 8, 8), (2, 3, 4, 9), "larger than x"),
        ((2, 6, 8, 8), (2, 6, 4, 4), "model.in_channels"),
    ],
)
def test_a_wrong_small_image_is_named(tiny, x, low_res, message):
    with pytest.raises(ValueError, match=message):
        tiny(SuperResolutionUNet)(torch.randn(x), torch.tensor([0, 1]), low_res and torch.randn(low_res))
