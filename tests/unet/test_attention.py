import pytest
import torch

from unet.attention import AttentionBlock, attend, attention, count_heads


def written_out(qkv, heads, order):
    """One head and one position at a time."""
    n, length, width = qkv.shape
    channels, c = width // 3, width // 3 // heads
    out = torch.empty(n, length, channels, dtype=qkv.dtype)
    for head in range(heads):
        starts = [(3 * head + i) * c if order == "heads_first" else i * channels + head * c for i in range(3)]
        q, k, v = (qkv[:, :, start : start + c] for start in starts)
        for i in range(length):
            weights = ((k * q[:, i, None]).sum(dim=2) / c**0.5).softmax(dim=1)
            out[:, i, head * c : (head + 1) * c] = (weights[:, :, None] * v).sum(dim=1)
    return out


@pytest.mark.parametrize("order", ["heads_first", "qkv_first"])
def test_attention_is_its_formula(order):
    qkv = torch.randn(2, 5, 3 * 12, dtype=torch.float64)
    torch.testing.assert_close(attend(qkv, heads=3, order=order), written_out(qkv, 3, order))


def test_the_products_written_out_in_bf16_are_the_fused_kernel_s():
    exact = [torch.randn(2, 2, 16, 8, requires_grad=True) for _ in "qkv"]
    halves = [each.detach().bfloat16().requires_grad_() for each in exact]
    fused, written = attention(*exact), attention(*halves)
    assert ["ScaledDotProduct" in each.grad_fn.name() for each in (fused, written)] == [True, False]
    fused.square().sum().backward(), written.square().sum().backward()
    for one, other in [(fused, written), *((a.grad, b.grad) for a, b in zip(exact, halves, strict=True))]:
        assert other.dtype == torch.bfloat16
        torch.testing.assert_close(other.float(), one, rtol=0.05, atol=0.03)


def test_positions_are_exchangeable():
    block = AttentionBlock(8, heads=2, order="heads_first", norm_groups=2).double()
    torch.nn.init.normal_(block.projection.weight)
    x, order = torch.randn(1, 8, 6, dtype=torch.float64), torch.randperm(6)
    emb = torch.empty(0)
    torch.testing.assert_close(block(x, emb)[:, :, order], block(x[:, :, order], emb))
    assert not torch.allclose(block(x, emb), x)


def test_axes_are_only_positions():
    block = AttentionBlock(8, heads=2, order="qkv_first", norm_groups=2)
    torch.nn.init.normal_(block.projection.weight)
    x, emb = torch.randn(2, 8, 2, 3, 4), torch.empty(0)
    torch.testing.assert_close(block(x, emb).flatten(2), block(x.flatten(2), emb))


def test_memory_format_changes_nothing():
    block = AttentionBlock(8, heads=2, order="heads_first", norm_groups=2)
    torch.nn.init.normal_(block.projection.weight)
    x, emb = torch.randn(2, 8, 4, 4), torch.empty(0)
    last = block(x.to(memory_format=torch.channels_last), emb)
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, block(x, emb))


def test_channels_per_head_decides_over_heads():
    assert count_heads(64, heads=3, channels_per_head=16) == 4


@pytest.mark.parametrize("options, key", [((3, None), "model.heads=..."), ((4, 24), "model.channels_per_head")])
def test_channels_that_do_not_divide_are_refused(options, key):
    heads, channels_per_head = options
    with pytest.raises(ValueError, match=key):
        count_heads(64, heads=heads, channels_per_head=channels_per_head)


def test_unknown_order_is_refused():
    with pytest.raises(ValueError, match=r"model.attention_order=heads_first or qkv_first"):
        AttentionBlock(8, heads=2, order="values_first", norm_groups=2)
