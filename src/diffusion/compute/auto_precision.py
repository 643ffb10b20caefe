"""What precision=auto stands for: the number format in which a network is fastest on its device."""

import statistics
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import torch

from diffusion.compute import distributed
from diffusion.compute.flops import elapsed

WORTH = 1.1  # times as fast as float32, below which a difference may be chance and rounding brings nothing
SECONDS = 3.0  # what all rounds take at most, unless they are the fewest
FEWEST_ROUNDS, ROUNDS = 3, 7
GROWTH = 4
CPU_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")  # of x86, and the last of ARM


class Choice(NamedTuple):
    """A number format, and why it was taken."""

    precision: str
    reason: str

    def __str__(self) -> str:
        return f"auto: {self.precision}, {self.reason}"


def fastest_precision(work: Callable[[str, int], object], device: torch.device, images: int) -> Choice:
    """bf16 where `work(precision, count)` is clearly faster in it on `count` images, else float32.

    All `images` are timed, since with a few of them casting the weights takes more than bf16 gains; fewer where three
    rounds would take more than three seconds. If they fit into memory in bf16 alone, it is bf16. The leader decides for
    all processes, which must all call it.
    """
    return distributed.broadcast_from_leader(lambda: compare(work, device, images))


def compare(work: Callable[[str, int], object], device: torch.device, images: int) -> Choice:
    """The same in this process alone."""
    if reason := missing_instructions(device):
        return Choice("float32", reason)
    kinds = ("float32", "bf16")

    def when_all_warm(count: int) -> dict[str, float]:
        """Seconds by number format, of those in which so many images fit into memory."""
        found = {}
        for kind in kinds:
            with suppress(torch.OutOfMemoryError):
                found[kind] = when_warm(partial(work, kind, count), device)
        return found

    count, taken, more = 0, 0.0, 1
    while True:
        found = when_all_warm(more)
        if [*found] == ["bf16"]:
            return Choice("bf16", f"{more} {'images fit' if more > 1 else 'image fits'} into memory in it alone")
        if len(found) < len(kinds):
            if not count:
                return Choice("float32", "one image does not fit into memory in bf16")
            break  # What does not fit will be said where it is used.
        count, taken = more, sum(found.values())
        # A GPU may take as long for one image as for many, so that how many can be timed is found by timing.
        more = min(images, GROWTH * count)
        if count >= images or FEWEST_ROUNDS * taken * more / count > SECONDS:
            break
    pairs = max(FEWEST_ROUNDS, min(ROUNDS, int(SECONDS / taken)))
    rounds = [[elapsed(partial(work, kind, count), device) for kind in kinds] for _ in range(pairs)]
    ratio = statistics.median(float32 / bf16 for float32, bf16 in rounds)  # what slows the machine slows both of a pair
    if ratio >= WORTH:
        return Choice("bf16", f"{ratio:.1f} times as fast as float32 here")
    return Choice("float32", f"bf16 is only {ratio:.2f} times as fast here")


def when_warm(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes but for its first call, in which kernels of this size are prepared."""
    work()
    return min(elapsed(work, device) for _ in range(3))


def missing_instructions(device: torch.device) -> str | None:
    """Why there is nothing to gain from bf16 on the device; None if only timing can tell."""
    if device.type == "cuda":
        known = torch.cuda.is_bf16_supported(including_emulation=False)
        name = torch.cuda.get_device_name(device) if not known else ""
    else:
        known = device.type == "cpu" and any(torch.cpu.get_capabilities().get(each) for each in CPU_INSTRUCTIONS)
        name = "this CPU" if device.type == "cpu" else device.type
    return None if known else f"{name} has no instructions for bf16"
