"""The speed of a training run, and its share of what the device can do."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch

from diffusion.compute import distributed
from diffusion.compute.flops import TRAINING, flops, matmul_speed
from diffusion.data.conditions import arguments, available
from diffusion.denoiser.denoiser import conditions_of
from diffusion.training.learner import Learner
from diffusion.training.trainer import Run


class Throughput:
    """Measures speed between one reading and the next."""

    def __init__(self, run: Run, learner: Learner) -> None:
        self.run, self.learner = run, learner
        self.begin()

    def begin(self) -> None:
        self._since = time.perf_counter()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose time is not counted."""
        start = time.perf_counter()
        yield
        self._since += time.perf_counter() - start

    def readings(self, images: int) -> dict[str, float]:
        """images/s, TFLOP/s a device and the share of its matrix products' speed, and the most memory so far in GB."""
        speed = images / (time.perf_counter() - self._since)
        self.begin()
        with self.paused():
            flops_per_second = self.flops_per_image * speed / distributed.world_size()
            return {
                "images_per_second": speed,
                "tflops": flops_per_second / 1e12,
                "share_of_peak": flops_per_second / self.peak,
                "memory_gb": memory(self.run.device),
            }

    @cached_property
    def peak(self) -> float:
        return matmul_speed(self.run.device, self.learner.precision)

    @cached_property
    def flops_per_image(self) -> float:
        """The operations of one image, forward and backward."""
        network, images = self.learner.parallel.plain(), self.run.images
        x, labels = torch.zeros(1, *images.shape), torch.zeros(1, dtype=torch.long)
        known = arguments(available(self.run.conditions, images.classes), x, labels)
        condition = {name: values for name, values in known.items() if name in conditions_of(network)}
        return TRAINING * flops(network, x, torch.zeros(1), condition)


def memory(device: torch.device) -> float:
    """The most memory used so far, in GB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
