"""Self-attention over the positions of a feature map."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import GroupNorm, Pointwise, zero

# How the 3C channels are cut: each head into its q, k, v (improved-diffusion), or q, k, v into their heads.
ORDERS = {
    "heads_first": "n l (heads qkv c) -> qkv n heads l c",
    "qkv_first": "n l (qkv heads c) -> qkv n heads l c",
}

FEW_TOKENS = 256
"""Up to so many, training in bf16 on a CPU is faster by two products than by the fused kernel, up to five times."""


def count_heads(channels: int, *, heads: int, channels_per_head: int | None) -> int:
    """The number of heads of a layer: `channels_per_head`, where given, decides instead of `heads`."""
    if channels_per_head is not None:
        if channels_per_head < 1 or channels % channels_per_head:
            raise ValueError(
                f"{channels} channels cannot be cut into heads of {channels_per_head}; set model.channels_per_head "
                f"to a divisor of {channels}, or to null and model.heads=..."
            )
        return channels // channels_per_head
    if heads < 1 or channels % heads:
        raise ValueError(
            f"{channels} channels cannot be shared by {heads} heads; "
            f"set model.heads=... (going up: model.heads_up=...) to a divisor of {channels}"
        )
    return heads


def attend(qkv: Tensor, *, heads: int, order: str, queries: int | None = None) -> Tensor:
    """softmax(q k^T / sqrt(c)) v of the first `queries` tokens (default: of all), (N, L, 3C) -> (N, queries, C)."""
    q, k, v = rearrange(qkv, ORDERS[order], heads=heads, qkv=3)
    attended = attention(q[:, :, :queries], k, v)
    return rearrange(attended, "n heads l c -> n l (heads c)")


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(c)) v, (..., L, c) each."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad and k.shape[-2] <= FEW_TOKENS:
        weights = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1, dtype=torch.float32)
        return weights.to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


class AttentionBlock(nn.Module):
    """x + attention(x) over all positions, whatever their number of axes. (N, C, ...) -> (N, C, ...)."""

    def __init__(self, channels: int, *, heads: int, order: str, norm_groups: int):
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"attention_order={order!r} is unknown; set model.attention_order={' or '.join(ORDERS)}")
        self.heads = heads
        self.order = order
        self.norm = GroupNorm(norm_groups, channels)
        self.qkv = Pointwise(channels, 3 * channels)
        self.projection = zero(Pointwise(channels, channels))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        tokens = rearrange(self.norm(x), "n c ... -> n (...) c")
        attended = self.projection(attend(self.qkv(tokens), heads=self.heads, order=self.order))
        return x + attended.mT.reshape(x.shape)
