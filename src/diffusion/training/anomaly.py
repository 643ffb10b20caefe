"""Finding the layer whose output or gradient is the first that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.training.not_finite import NotFinite


@contextmanager
def detect_anomalies(model: nn.Module, step: Callable[[], int]) -> Iterator[None]:
    """Raise NotFinite with the name of the first layer whose output, or weight whose gradient, is not finite.

    In forward that layer is the culprit, in backward the one after it. Every check waits for the device.
    """

    def look(what: str, value: Tensor) -> None:
        # A network whose operations are counted computes with tensors that have no content.
        if not value.is_meta and not torch.isfinite(value).all():
            raise NotFinite(f"{what} in step {step()} is not finite")

    def look_at_output(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, _: Any, output: Tensor) -> None:
            named = f"the output of {name} ({type(layer).__name__})"
            look(named, output)
            if output.requires_grad:
                output.register_hook(lambda gradient: look(f"the gradient of {named}", gradient))

        return hook

    def look_at_gradient(name: str) -> Callable[[Tensor], None]:
        return lambda weight: look(f"the gradient of {name}", weight.grad) if weight.grad is not None else None

    layers = {name: layer for name, layer in model.named_modules() if not list(layer.children())}
    hooks = [layer.register_forward_hook(look_at_output(name)) for name, layer in layers.items()]
    hooks += [w.register_post_accumulate_grad_hook(look_at_gradient(name)) for name, w in model.named_parameters()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
