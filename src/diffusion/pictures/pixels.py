"""Between uint8 pixels and the [-1, 1] in which the diffusion lives."""

import torch
from torch import Tensor


def from_uint8(pixels: Tensor) -> Tensor:
    """x = pixels / 127.5 - 1, float32 in [-1, 1], on the device of `pixels`."""
    # Divided by a tensor: CUDA multiplies by the reciprocal of a plain number, which is an ulp off for some levels.
    # Made there by full(), since tensor() would copy it from here and wait for all that the GPU has to do.
    return pixels.to(torch.float32, copy=True).div_(torch.full((), 127.5, device=pixels.device)).sub_(1)


def to_uint8(x: Tensor) -> Tensor:
    """The nearest uint8 level of x in [-1, 1], values beyond clipped: the inverse of `from_uint8`."""
    return ((x.float() + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8)
