import pytest
import torch
from torch import nn

from unet.blocks import Downsample, ResBlock, Stage, Upsample, grow, shrink


def block(in_channels=8, out_channels=8, **options):
    defaults = {"dropout": 0.0, "scale_shift": True, "norm_groups": 2, "dims": 2}
    return ResBlock(in_channels, out_channels, 6, **defaults | options)


def test_a_fresh_block_is_the_identity():
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(block()(x, torch.randn(2, 6)), x)


def test_a_fresh_resampling_block_only_resamples():
    x, emb = torch.randn(2, 8, 4, 4), torch.randn(2, 6)
    assert torch.equal(block(resample=shrink(2))(x, emb), nn.functional.avg_pool2d(x, 2))
    assert torch.equal(block(resample=grow(2))(x, emb), x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


@pytest.mark.parametrize("scale_shift", [True, False])
def test_every_channel_hears_the_embedding(scale_shift):
    residual = block(scale_shift=scale_shift)
    nn.init.dirac_(residual.conv_2.weight)
    x, emb = torch.randn(1, 8, 4, 4), torch.randn(1, 6)
    change = (residual(x, emb) - residual(x, 2 * emb)).abs().amax(dim=(0, 2, 3))
    assert change.min() > 1e-3


@pytest.mark.parametrize("dims, size, half", [(1, (8,), (4,)), (2, (8, 4), (4, 2)), (3, (3, 8, 4), (3, 4, 2))])
@pytest.mark.parametrize("learned", [True, False])
def test_resampling_spares_the_outer_axis_of_a_volume(dims, size, half, learned):
    x, emb = torch.randn(1, 4, *size), torch.empty(0)
    down = Downsample(4, dims=dims, learned=learned)(x, emb)
    assert down.shape[2:] == half
    assert Upsample(4, dims=dims, learned=learned)(down, emb).shape == x.shape


def test_pooling_undoes_growing():
    x, emb = torch.randn(1, 4, 6), torch.empty(0)
    grown = Upsample(4, dims=1, learned=False)(x, emb)
    torch.testing.assert_close(Downsample(4, dims=1, learned=False)(grown, emb), x)


def test_recomputed_activations_are_not_kept():
    """Autograd saves fewer tensors for a stage that recomputes."""
    counts = []
    for recompute in (False, True):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, saved=saved: saved.append(t) or t, lambda t: t):
            Stage(recompute=recompute, a=block(), b=block())(torch.randn(1, 8, 4, 4), torch.randn(1, 6))
        counts.append(len(saved))
    assert counts[1] < counts[0] / 2
