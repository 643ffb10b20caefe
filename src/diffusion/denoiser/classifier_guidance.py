"""Guidance towards a class by a classifier of noisy images (Dhariwal & Nichol 2021, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.samplers.sampler import Guidance, Network


class ClassifierGuidance(NamedTuple):
    """A classifier (x_t, time) -> logits (N, K) of the K `classes`, and how many times its gradient counts.

    At scale 1 samples follow p(x | y), if model and classifier are exact; larger scales favour what is surely of
    class y over variety. `name` tells one classifier from another.
    """

    classifier: Network
    classes: Sequence[str]
    scale: float = 1.0
    name: str = "classifier"

    def towards(self, y: Tensor) -> Guidance:
        """(x_t, time) -> scale * gradient in x_t of log p(y | x_t, time), for labels y (N,)."""

        def gradient(x_t: Tensor, time: Tensor) -> Tensor:
            with torch.enable_grad():
                x_t = x_t.detach().requires_grad_()
                log_p = self.classifier(x_t, time).float().log_softmax(dim=1)
                # Images do not see each other, so one backward pass of the sum gives each its own gradient.
                total = log_p.gather(1, y[:, None]).sum()
            return self.scale * torch.autograd.grad(total, x_t)[0]

        return gradient
