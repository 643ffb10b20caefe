"""Which t to train on: a distribution over 0..T-1 and the weights that keep the loss unbiased."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion.compute.memory_layout import to_device


class Drawn(NamedTuple):
    """t (N,) int64 and the importance weights 1 / (T p(t)), (N,) float32."""

    t: Tensor
    weights: Tensor


class ScheduleSampler(ABC):
    """Draws t with a probability proportional to `weights()`."""

    def __init__(self, *, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"train.schedule_sampler.steps={steps} must be at least 1")
        self.steps = steps

    @abstractmethod
    def weights(self) -> Tensor:
        """Unnormalised probabilities of each t, float64 (T,), positive."""

    def probabilities(self) -> Tensor:
        weights = self.weights()
        return weights / weights.sum()

    def draw(self, u: Tensor) -> Drawn:
        """t where the distribution function passes u, (N,) in [0, 1)."""
        p = to_device(self.probabilities(), u.device)
        t = torch.searchsorted(p.cumsum(0), u.double(), right=True).clamp(max=self.steps - 1)
        return Drawn(t, (1 / (self.steps * p[t])).float())

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Learn from the unweighted losses (N,) of all images just trained on."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Uniform(ScheduleSampler):
    """Every t alike."""

    def weights(self) -> Tensor:
        return torch.ones(self.steps, dtype=torch.float64)


class LossSecondMoment(ScheduleSampler):
    """p(t) proportional to sqrt(E[L_t^2]) over the last `history` losses of each t (Nichol & Dhariwal 2021, eq. 18).

    Uniform until every t has a full history; afterwards `uniform_fraction` of the draws stay uniform.
    """

    def __init__(self, *, steps: int, history: int = 10, uniform_fraction: float = 0.001) -> None:
        super().__init__(steps=steps)
        if history < 1:
            raise ValueError(f"train.schedule_sampler.history={history} must be at least 1")
        if not 0 <= uniform_fraction <= 1:
            raise ValueError(f"train.schedule_sampler.uniform_fraction={uniform_fraction} must lie between 0 and 1")
        self.uniform_fraction = uniform_fraction
        self.losses = torch.zeros(steps, history, dtype=torch.float64)
        self.counts = torch.zeros(steps, dtype=torch.int64)

    @property
    def warmed_up(self) -> bool:
        return bool((self.counts == self.losses.shape[1]).all())

    def weights(self) -> Tensor:
        if not self.warmed_up:
            return torch.ones(self.steps, dtype=torch.float64)
        p = self.losses.square().mean(1).sqrt()
        p = p / p.sum()
        return (1 - self.uniform_fraction) * p + self.uniform_fraction / self.steps

    def update(self, t: Tensor, losses: Tensor) -> None:
        order = t.argsort(stable=True)
        t, losses = t[order].cpu(), losses[order].double().cpu()
        # Where a batch holds one t several times, its losses enter the history one after the other.
        turn = torch.arange(len(t)) - torch.searchsorted(t, t)
        for i in range(int(turn.max()) + 1):
            self._append(t[turn == i], losses[turn == i])

    def _append(self, t: Tensor, losses: Tensor) -> None:
        """One more loss for each t, all different; where the history is full, its first goes."""
        size = self.losses.shape[1]
        rows, counts = self.losses[t], self.counts[t]
        full = counts == size
        rows[full] = rows[full].roll(-1, dims=1)
        self.losses[t] = rows.scatter(1, counts.clamp(max=size - 1)[:, None], losses[:, None])
        self.counts[t] = (counts + 1).clamp(max=size)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, mine in (("losses", self.losses), ("counts", self.counts)):
            if state[name].shape != mine.shape:
                raise ValueError(f"the schedule sampler's {name} are {(*state[name].shape,)}, needed {(*mine.shape,)}")
            mine.copy_(state[name])
