"""The speed of a training run, and its share of what the device can do."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from diffusion.compute import distributed
from diffusion.compute.flops import matmul_speed, training_flops
from diffusion.compute.precision import Precision
from diffusion.data.conditions import BY_LABEL, Conditions, arguments, available
from diffusion.data.images import Images
from diffusion.denoiser.denoiser import conditions_of


class Throughput:
    """Measures speed between one reading and the next."""

    def __init__(
        self, network: nn.Module, images: Images, precision: Precision, conditions: Conditions = BY_LABEL
    ) -> None:
        self.network, self.images, self.precision, self.conditions = network, images, precision, conditions
        self._since = time.perf_counter()
        self._flops = self._most = 0.0

    def begin(self) -> None:
        self._since = time.perf_counter()

    def readings(self, images: int) -> dict[str, float]:
        """images/s, TFLOP/s a device and the share of its matrix products' speed, and the most memory so far in GB."""
        speed = images / (time.perf_counter() - self._since)
        self.begin()
        with self.paused():
            return self.of(speed)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose time is not counted."""
        start = time.perf_counter()
        yield
        self._since += time.perf_counter() - start

    def of(self, speed: float) -> dict[str, float]:
        if not self._flops:
            self._flops, self._most = self.flops_per_image(), matmul_speed(self.precision.device, self.precision.kind)
        flops = self._flops * speed / distributed.world_size()
        return {
            "images_per_second": speed,
            "tflops": flops / 1e12,
            "share_of_peak": flops / self._most,
            "memory_gb": memory(self.precision.device),
        }

    def flops_per_image(self) -> float:
        """The operations of one image, forward and backward."""
        x = torch.zeros(1, *self.images.shape, device="meta")
        labels = torch.zeros(1, device="meta", dtype=torch.long)
        condition = arguments(available(self.conditions, self.images.classes), x, labels)
        condition = {name: values for name, values in condition.items() if name in conditions_of(self.network)}
        return training_flops(self.network, x, torch.zeros(1), condition)


def memory(device: torch.device) -> float:
    """The most memory used so far, in GB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
