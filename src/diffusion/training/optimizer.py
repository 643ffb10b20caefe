"""AdamW, and its learning rate over time."""

from collections.abc import Iterable

import torch
from torch import nn


class AdamW(torch.optim.AdamW):
    """AdamW with decoupled weight decay (Loshchilov & Hutter 2019), fused into one pass over the weights."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        /,
        *,
        lr: float = 1e-4,
        betas: tuple[float, ...] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if len(betas) != 2:
            raise ValueError(f"AdamW has two betas, got {list(betas)}; set 'train.optimizer.betas=[0.9,0.999]'")
        super().__init__(parameters, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, fused=True)


def rate_factor(step: int, *, warmup_steps: int, anneal_steps: int | None) -> float:
    """What the learning rate is multiplied by at `step` = 0, 1, ...

    It rises linearly to 1 over `warmup_steps`, and falls linearly so that it would be 0 at `anneal_steps`.
    """
    rise = min(1.0, (step + 1) / (warmup_steps + 1))
    fall = 1.0 if anneal_steps is None else max(0.0, 1 - step / anneal_steps)
    return rise * fall
