"""AdamW, with its settings checked."""

from collections.abc import Iterable

import torch
from torch import nn

LEAST_EPS = 1e-30  # what float32 holds, so that no weight without a gradient is divided 0 by 0


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
        for name, value, usual, right in (
            ("lr", lr, 1e-4, lr >= 0), ("eps", eps, 1e-8, eps >= LEAST_EPS),
            ("weight_decay", weight_decay, 0.05, weight_decay >= 0),
            ("betas", list(betas), "[0.9,0.999]", all(0 <= beta < 1 for beta in betas)),
        ):  # fmt: skip
            if not right:
                raise ValueError(f"train.optimizer.{name}={value} is out of range; set train.optimizer.{name}={usual}")
        super().__init__(parameters, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, fused=True)
