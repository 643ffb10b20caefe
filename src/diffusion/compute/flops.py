"""The floating-point operations of a network, and the speed of its device."""

import math
import time as clock
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from diffusion.compute.precision import DTYPES, autocast

# What a forward and a backward take, in forwards: a layer's backward computes two products of the size of its forward
# one, for its input and for its weights. What checkpointing repeats is not counted.
TRAINING = 3


def flops(network: nn.Module, x: Tensor, time: Tensor, condition: Mapping[str, Tensor]) -> float:
    """The floating-point operations of one image through the network: its convolutions and matrix products.

    NaN where the network computes what takes real images.
    """
    one = {name: values[:1].to("meta") for name, values in condition.items()}
    # On meta tensors this takes no time; SDPBackend.MATH, as the products within fused kernels are not counted.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        try:
            torch.func.functional_call(network, on_meta(network), (x[:1].to("meta"), time[:1].to("meta")), one)
        except (RuntimeError, TypeError):
            return math.nan
    return float(counter.get_total_flops())


def on_meta(network: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of a network on the meta device, where computing costs nothing."""
    return {name: held.to("meta") for name, held in (*network.named_parameters(), *network.named_buffers())}


def matmul_speed(device: torch.device, precision: str = "float32") -> float:
    """Floating-point operations per second of a square matrix product: the most that a network can hope for."""
    dtype = DTYPES[precision]
    # Without instructions for it, a CPU takes half a minute for the large product in half precision.
    size, rounds = (8192, 10) if device.type == "cuda" else (1024 if dtype == torch.float32 else 256, 5)
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    ways = [lambda: a @ b]
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        # The library of the convolutions; on AMD's processors its products are twice as fast as the other's.
        packed_a, packed_b = a.to_mkldnn(), b.to_mkldnn()
        ways.append(lambda: nn.functional.linear(packed_a, packed_b))
    with torch.no_grad(), autocast(precision, device):
        return 2 * size**3 / min(elapsed(way, device) for way in ways for _ in range(rounds))


def elapsed(work, device: torch.device) -> float:
    """The seconds that `work()` takes on the device."""
    wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    wait()
    since = clock.perf_counter()
    work()
    wait()
    return clock.perf_counter() - since
