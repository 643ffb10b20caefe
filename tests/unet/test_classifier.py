import pytest
import torch

from unet import Classifier
from unet.classifier import AttentionPool


@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial", "spatial_v2"])
@pytest.mark.parametrize("resampling", ["residual", "pooling", "convolution"])
def test_logits_depend_on_image_and_time(tiny, pool, resampling):
    network = tiny(Classifier, num_classes=5, pool=pool, channels_per_head=8, resampling=resampling)
    x, time = torch.randn(2, 3, 8, 8), torch.tensor([3, 500])
    logits = network(x, time)
    assert logits.shape == (2, 5)
    assert not torch.allclose(logits, network(x, time + 100))
    assert not torch.allclose(logits, network(x.flip(0), time))


def test_attention_pool_is_the_first_token_of_full_attention():
    pool = AttentionPool(8, 3, positions=4, heads=2)
    x = torch.randn(2, 8, 2, 2)
    tokens = torch.cat([x.mean(dim=(2, 3))[:, :, None], x.flatten(2)], dim=2) + pool.position
    q, k, v = (torch.conv1d(tokens, pool.qkv.weight, pool.qkv.bias).unflatten(1, (3, 2, 4))).unbind(1)
    weights = (torch.einsum("nhcl,nhcm->nhlm", q, k) / 2).softmax(dim=3)
    attended = torch.einsum("nhlm,nhcm->nhcl", weights, v).flatten(1, 2)
    torch.testing.assert_close(pool(x), torch.conv1d(attended, pool.projection.weight, pool.projection.bias)[:, :, 0])


@pytest.mark.parametrize("pool", ["adaptive", "spatial", "spatial_v2"])
def test_pools_by_means_take_any_shape(tiny, pool):
    network = tiny(Classifier, num_classes=5, pool=pool, channels_per_head=8)
    assert network(torch.randn(1, 3, 6, 10), torch.tensor([3])).shape == (1, 5)


def test_attention_pool_names_the_size_it_needs(tiny):
    network = tiny(Classifier, num_classes=5, channels_per_head=8)
    with pytest.raises(ValueError, match=r"16 positions and got 15; set model.image_size"):
        network(torch.randn(1, 3, 6, 10), torch.tensor([3]))


def test_unknown_pool_is_refused(tiny):
    with pytest.raises(ValueError, match=r"model.pool=attention or adaptive or spatial or spatial_v2"):
        tiny(Classifier, num_classes=5, channels_per_head=8, pool="max")


def test_heads_need_channels_per_head_to_be_off(tiny):
    with pytest.raises(ValueError, match=r"channels_per_head=64 decides .*; set model\.channels_per_head=null"):
        tiny(Classifier, num_classes=5, heads=2)
    assert tiny(Classifier, num_classes=5, heads=2, channels_per_head=None).trunk.middle.attention.heads == 2
