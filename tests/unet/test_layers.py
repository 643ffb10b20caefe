import pytest
import torch

from unet.layers import GroupNorm, Head, Pointwise


def test_pointwise_is_the_convolution_of_its_weight():
    layer = Pointwise(4, 6)
    tokens = torch.randn(2, 5, 4)
    torch.testing.assert_close(layer(tokens).mT, torch.conv1d(tokens.mT, layer.weight, layer.bias))


def test_half_precision_norm_is_the_float32_norm_rounded():
    norm = GroupNorm(2, 4)
    x = (1000 + torch.randn(2, 4, 5)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(norm(x), norm(x.float()).bfloat16())


def test_norm_keeps_double_precision():
    x = torch.randn(2, 4, 5, dtype=torch.float64)
    mean = GroupNorm(2, 4).double()(x).unflatten(1, (2, 2)).mean(dim=(2, 3))
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-14)


def test_head_ignores_autocast():
    head = Head(torch.nn.Conv2d(3, 3, 3))
    x = torch.randn(1, 3, 8, 8)
    expected = head(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(x), expected)


def test_norm_suggests_groups_that_fit():
    with pytest.raises(ValueError, match=r"48 channels .* 32 groups; set model.norm_groups=16"):
        GroupNorm(32, 48)
