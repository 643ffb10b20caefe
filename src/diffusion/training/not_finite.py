"""Stopping at a loss or gradient that is not finite, before it reaches the weights."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class NotFinite(ValueError):
    """A loss or gradient that would spoil the weights."""


class NonFiniteGuard:
    """Skips an update whose loss or gradient is not finite, and remembers the first.

    On a CPU it raises at once. On a GPU, that would make every step wait: there the fused optimizer skips the update,
    and `check` raises later.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.optimizer = optimizer
        self.first = torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64, device=device)
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        self.at_once = not (fused and device.type == "cuda")

    def look(self, step: int, loss: Tensor, norm: Tensor) -> None:
        spoilt = ~(loss.isfinite() & norm.isfinite())
        here = torch.stack([torch.full_like(self.first[0], step), loss.double(), norm.double()])
        self.first = torch.where(spoilt & (self.first[0] < 0), here, self.first)
        if self.at_once:
            self.check()
        else:
            self.optimizer.found_inf = spoilt.float()  # type: ignore[attr-defined]

    def check(self) -> None:
        step, loss, norm = self.first.tolist()
        if step >= 0:
            name, value = ("gradient", norm) if math.isfinite(loss) else ("loss", loss)
            raise NotFinite(f"the {name} of step {step:.0f} is {value}")


@contextmanager
def detect_anomalies(model: nn.Module, step: Callable[[], int]) -> Iterator[None]:
    """Raise NotFinite with the name of the first layer whose output, or weight whose gradient, is not finite.

    In forward that layer is the culprit, in backward the one after it. Every check waits for the device.
    """

    def look(what: str, value: Tensor | None) -> None:
        # A network whose operations are counted computes with tensors that have no content.
        if value is not None and not value.is_meta and not torch.isfinite(value).all():
            raise NotFinite(f"{what} in step {step()} is not finite")

    def look_at_output(name: str, layer: nn.Module, _: Any, output: Tensor) -> None:
        named = f"the output of {name} ({type(layer).__name__})"
        look(named, output)
        if output.requires_grad:
            output.register_hook(partial(look, f"the gradient of {named}"))

    def look_at_gradient(name: str, weight: Tensor) -> None:
        look(f"the gradient of {name}", weight.grad)

    layers = {name: layer for name, layer in model.named_modules() if not list(layer.children())}
    hooks = [layer.register_forward_hook(partial(look_at_output, name)) for name, layer in layers.items()]
    hooks += [w.register_post_accumulate_grad_hook(partial(look_at_gradient, n)) for n, w in model.named_parameters()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
