"""Stopping at a loss, gradient or weight that is not finite, before it reaches a file."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.runs import checkpoints
from diffusion.runs.naming import shell_override
from diffusion.training.parallel import local_shards


class NotFinite(ValueError):
    """A loss, gradient or weight that is not finite; `last_finite` is the last step whose loss was, if it is known."""

    def __init__(self, what: str, last_finite: int | None = None) -> None:
        super().__init__(what)
        self.last_finite = last_finite


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
            raise NotFinite(f"the {name} of step {step:.0f} is {value}", last_finite=int(step) - 1)


def last_words(error: NotFinite, *, start: int, finite: bool, folder: Path, name: str) -> str:
    """What went wrong in the run of that name since step `start`, what `folder` has of it, and how to go on.

    `finite` says whether the weights still are.
    """
    known, saved = error.last_finite, checkpoints.last_step(folder)
    parts = [str(error)]
    if known is not None and known >= start:
        parts.append(f"the last finite loss is that of step {known}")
    if not finite:
        parts.append("the weights are spoilt, and not saved")
    parts.append(f"{folder} holds step {saved}" if saved else "there is no checkpoint yet")
    name = shell_override("name", name)
    return "; ".join([*parts, f"go on with {name} and a lower train.optimizer.lr or train.clip_grad_norm=1"])


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """True if this process's parts of these tensors are finite."""
    return bool(torch.stack([part.isfinite().all() for part in local_shards(tensors)]).all())


@contextmanager
def detect_anomalies(model: nn.Module, step: Callable[[], int]) -> Iterator[None]:
    """Raise NotFinite with the name of the first layer whose output, or weight whose gradient, is not finite.

    In forward that layer is the culprit, in backward the one after it. Every check waits for the device.
    """

    def look(what: str, value: Tensor | None) -> None:
        # A network whose operations are counted computes with tensors that have no content.
        if value is not None and not value.is_meta and not torch.isfinite(value).all():
            raise NotFinite(f"{what} in step {step()} is not finite", last_finite=step() - 1)

    def look_at_output(name: str, layer: nn.Module, _: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return  # such as a recurrent layer's pair; the layers that take it are looked at
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
