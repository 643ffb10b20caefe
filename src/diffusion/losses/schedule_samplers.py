"""Which levels to train on: laws that turn even random numbers into t, and the weights that keep a loss unbiased."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion.compute.device import to_device
from diffusion.process.process import Process


class Drawn(NamedTuple):
    """t (N,), as the process names its levels, and importance weights (N,), float32."""

    t: Tensor
    weights: Tensor


class ScheduleSampler(ABC):
    """Draws the levels of a training batch."""

    stratified: bool = False
    """Whether the random numbers of a batch, over all processes, are spread evenly, the i-th of N in [i, i + 1) / N
    (Kingma et al. 2021, appendix I)"""

    @abstractmethod
    def draw(self, u: Tensor, process: Process) -> Drawn:
        """The levels at the random numbers u (N,), even in [0, 1)."""

    def update(self, t: Tensor, losses: Tensor, process: Process) -> None:
        """Learn from the unweighted losses (N,) of all images just trained on."""

    def probabilities(self, process: Process) -> Tensor | None:
        """How likely each of the process's bins is now, float64 (bins,); None where all stay alike."""
        return None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any], process: Process) -> None:
        """Go on where `state` was saved; ValueError if that was with another process."""


def draw_bins(p: Tensor, u: Tensor, process: Process) -> Drawn:
    """t where the distribution function of the bins' probabilities p (bins,) passes u, weighted by 1 / (bins p)."""
    p = to_device(p, u.device)
    edges, u = p.cumsum(0), u.double()
    k = torch.searchsorted(edges, u, right=True).clamp(max=len(p) - 1)
    # Where in the bin, for a process with more than one level in each; kept off its rounded edges.
    within = ((u - (edges[k] - p[k])) / p[k]).clamp(1e-6, 1 - 1e-6)
    return Drawn(process.t((k + within) / len(p)), (1 / (len(p) * p[k])).float())


class Uniform(ScheduleSampler):
    """Every t of a chain alike; on a continuum, evenly in its own schedule."""

    def __init__(self, *, stratified: bool = False) -> None:
        self.stratified = stratified

    def draw(self, u: Tensor, process: Process) -> Drawn:
        p = torch.ones(process.bins, dtype=torch.float64)
        return draw_bins(p / p.sum(), u, process)


class LossSecondMoment(ScheduleSampler):
    """p proportional to sqrt(E[L^2]) over the last `history` losses of each t, or bin of a continuum.

    Uniform until every t has a full history; afterwards `uniform_fraction` of the draws stay uniform (Nichol & Dhariwal
    2021, eq. 18).
    """

    def __init__(self, *, history: int = 10, uniform_fraction: float = 0.001, stratified: bool = False) -> None:
        if history < 1:
            raise ValueError(f"train.schedule_sampler.history={history} must be at least 1")
        if not 0 <= uniform_fraction <= 1:
            raise ValueError(f"train.schedule_sampler.uniform_fraction={uniform_fraction} must lie between 0 and 1")
        self.history, self.uniform_fraction, self.stratified = history, uniform_fraction, stratified
        self.losses = torch.zeros(0, history, dtype=torch.float64)
        self.counts = torch.zeros(0, dtype=torch.int64)

    def fit_to(self, process: Process, device: torch.device) -> None:
        """Begin with an empty history, and remember on `device`; ValueError if there is one of another process."""
        if not len(self.counts) and not len(self.losses):
            self.losses = torch.zeros(process.bins, self.history, dtype=torch.float64)
            self.counts = torch.zeros(process.bins, dtype=torch.int64)
        if self.losses.shape != (process.bins, self.history) or self.counts.shape != (process.bins,):
            raise ValueError(
                f"the schedule sampler's losses are {(*self.losses.shape,)}, needed {(process.bins, self.history)}"
            )
        self.losses, self.counts = self.losses.to(device), self.counts.to(device)

    @property
    def full(self) -> Tensor:
        """Whether every bin has its history: a number on the device, for which no step of training waits."""
        return (self.counts == self.history).all()

    def shares(self) -> Tensor:
        """The probabilities of the bins, once their history is full."""
        p = self.losses.square().mean(1).sqrt()
        p = (1 - self.uniform_fraction) * (p / p.sum()) + self.uniform_fraction / len(p)
        return p / p.sum()

    def probabilities(self, process: Process) -> Tensor | None:
        self.fit_to(process, self.losses.device)
        return self.shares() if self.full else None

    def draw(self, u: Tensor, process: Process) -> Drawn:
        self.fit_to(process, u.device)
        return draw_bins(torch.where(self.full, self.shares(), 1 / process.bins), u, process)

    def update(self, t: Tensor, losses: Tensor, process: Process) -> None:
        self.fit_to(process, t.device)
        bins, history = self.losses.shape
        k = process.bin(t, bins)
        order = k.argsort(stable=True)
        k, losses = k[order], losses[order].double()
        # Where a batch holds one bin several times, its losses enter the history one after the other.
        turn = torch.arange(len(k), device=k.device) - torch.searchsorted(k, k)
        counts = self.counts.scatter_add(0, k, torch.ones_like(k))
        # The oldest give way: each bin's row moves to the left by as many as it has too much.
        gone = (counts - history).clamp(min=0)
        places = torch.arange(history, device=k.device) + gone[:, None]
        kept = self.losses.gather(1, places.clamp(max=history - 1))
        place = self.counts[k] + turn - gone[k]
        # A loss that is too old already is written behind the last row, and cut off.
        cell = torch.where(place < 0, bins * history, k * history + place)
        cells = torch.cat([kept.flatten(), kept.new_zeros(1)]).scatter(0, cell, losses)
        self.losses, self.counts = cells[:-1].view_as(kept).clone(), counts.clamp(max=history)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any], process: Process) -> None:
        losses, counts = state.get("losses"), state.get("counts")
        if not (isinstance(losses, Tensor) and isinstance(counts, Tensor)):
            raise ValueError("the schedule sampler's state is no losses and their counts")
        self.losses, self.counts = losses.to(self.losses, copy=True), counts.to(self.counts, copy=True)
        self.fit_to(process, self.losses.device)
        if not self.losses.isfinite().all() or not ((self.counts >= 0) & (self.counts <= self.history)).all():
            raise ValueError(f"the schedule sampler's losses are not finite, or their counts not 0 to {self.history}")
