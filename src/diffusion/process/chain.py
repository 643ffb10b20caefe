"""A chain of T noising steps of variance 1, given by their betas."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.process.level import Level, Move
from diffusion.process.process import MOST_STEPS, Process
from diffusion.process.respacing import Steps, kept_steps


class Tables(NamedTuple):
    """What a chain looks up on one device; row 0 is the image, row t + 1 is level t."""

    alpha: Tensor
    sigma: Tensor
    times: Tensor
    finite: Tensor
    """The log-SNR of each level (T,), without that of pure noise"""
    nearest: Tensor
    """The same, with a number for pure noise: half a step below the last level that is none, it is nearest"""
    floor: Tensor
    """The variance of the move before the last (1,)"""


def tables_of(alpha_bar: Tensor, times: Tensor) -> Tables:
    """What a chain of these alpha_bar and times (T,) looks up."""
    rows = torch.cat([alpha_bar.new_ones(1), alpha_bar])
    levels = Level(rows.sqrt(), (1 - rows).sqrt(), torch.cat([times[:1], times]))
    log_snr = levels.log_snr[1:]
    nearest = log_snr.clone()
    if len(nearest) > 2 and bool(nearest[-1].isneginf()):
        nearest[-1] = 2 * nearest[-2] - nearest[-3]
    row = lambda k: Level(levels.alpha[[k]], levels.sigma[[k]], levels.time[[k]])  # noqa: E731
    floor = Move(row(2), row(1)).variance if len(times) > 1 else Move(row(1), row(0)).upper
    return Tables(levels.alpha, levels.sigma, levels.time, log_snr[log_snr.isfinite()], nearest, floor)


class Chain(Process):
    """q(x_t | x_0) of T Gaussian steps, t = 0 .. T-1 (Nichol & Dhariwal 2021, eq. 9).

    Between two of its steps, at t in float64, log-SNR and time run along straight lines; to pure noise alpha does.
    `betas` is float64 (T,) in (0, 1]; `times` (T,) is what the network is told at each t, the step's own number if not
    given. Everything is computed from alpha_bar in float64 and rounded once, where it meets an image.
    """

    def __init__(self, betas: Tensor, times: Tensor | None = None) -> None:
        require_betas(betas)
        self._keep(torch.cumprod(1 - betas, 0), torch.arange(len(betas)) if times is None else times)

    def _keep(self, alpha_bar: Tensor, times: Tensor) -> None:
        self.alpha_bar, self.times = alpha_bar, times
        self.bins = self.length = len(times)
        self._tables = {torch.device("cpu"): tables_of(alpha_bar, times)}

    def _on(self, device: torch.device) -> Tables:
        """The tables on a device, to which they are copied once."""
        if device not in self._tables:
            self._tables[device] = Tables(*(table.to(device) for table in self._tables[torch.device("cpu")]))
        return self._tables[device]

    def __len__(self) -> int:
        return len(self.times)

    def respace(self, kept: Sequence[int]) -> "Chain":
        """The same process seen only at the steps `kept`, rising; the network is still told the original times.

        (Nichol & Dhariwal 2021, section 4.)
        """
        keep = torch.as_tensor(kept, dtype=torch.int64)
        if len(keep) < 1:
            raise ValueError("a process needs at least 1 step; ask for more (sampler.steps)")
        respaced = Chain.__new__(Chain)
        respaced._keep(self.alpha_bar[keep], self.times[keep])
        return respaced

    def level(self, t: Tensor) -> Level:
        if t.is_floating_point():
            return self._between(t)
        return replace(self._row(t + 1), below=lambda: self._row(t))

    def at(self, log_snr: Tensor) -> Tensor:
        own = self._on(log_snr.device).finite
        low = (torch.searchsorted(-own, -log_snr, right=True) - 1).clamp(0, max(len(own) - 2, 0))
        high = (low + 1).clamp(max=len(own) - 1)
        share = ((own[low] - log_snr) / (own[low] - own[high])).nan_to_num(0).clamp(0, 1)
        return torch.where(log_snr.isneginf(), len(self) - 1.0, low + share)

    def _between(self, t: Tensor) -> Level:
        """The level at t in float64: the chain's own where t is whole."""
        low = t.floor().long().clamp(0, len(self) - 1)
        high, share = (low + 1).clamp(max=len(self) - 1), t - low
        own = self._row(low + 1)
        above = self._row(high + 1)
        # To pure noise no line leads in the log-SNR, but one in alpha.
        alpha = own.alpha * (1 - share)
        falling = torch.where(above.alpha > 0, torch.lerp(own.log_snr, above.log_snr, share), (alpha**2).logit())
        log_snr = torch.where(share > 0, falling, own.log_snr)
        return self._at_log_snr(log_snr, torch.lerp(own.time.double(), above.time.double(), share))

    def _at_log_snr(self, log_snr: Tensor, time: Tensor | None = None) -> Level:
        """Exactly this log-SNR; beyond the chain's ends, at the time of the end."""
        if time is None:
            time = self._between(self.at(log_snr)).time
        return Level(log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt(), time, at=self._at_log_snr)

    def move(self, t: Tensor) -> Move:
        return Move(self.level(t), self._row(t), self._on(t.device).floor)

    def _row(self, row: Tensor) -> Level:
        tables = self._on(row.device)
        return Level(tables.alpha[row], tables.sigma[row], tables.times[row], at=self._at_log_snr)

    def t(self, u: Tensor) -> Tensor:
        return (u * len(self)).long().clamp(0, len(self) - 1)

    def share(self, t: Tensor) -> Tensor:
        # The middle of the step's share, which no rounding takes into the one before.
        return (t.double() + 0.5) / len(self)

    def bin(self, t: Tensor, count: int) -> Tensor:
        return count * t // len(self)

    def nearest(self, log_snr: Tensor) -> Tensor:
        return (log_snr[:, None] - self._on(log_snr.device).nearest).abs().argmin(1)

    def evenly(self, steps: Steps) -> Tensor:
        kept = kept_steps(len(self), steps)
        if not kept:
            raise ValueError(f"sampler.steps={steps} keeps no step; it must be at least 1")
        return torch.tensor(kept if len(kept) > 1 else [len(self) - 1]).flip(0)  # one step begins at noise

    def walk(self, t: Tensor) -> list[Level]:
        if t.is_floating_point():
            return [*(self.level(one) for one in t.split(1)), self.image()]
        respaced = self.respace(t.flip(0).tolist())
        levels = (respaced.level(t) for t in torch.arange(len(respaced)).flip(0).split(1))
        # Between them lie those of this chain, with its times.
        return [*(replace(level, at=self._at_log_snr) for level in levels), self.image()]


def require_steps(steps: int) -> None:
    """Raise ValueError unless a chain may have so many steps, before tables of that length are made."""
    if steps < 2:
        raise ValueError(f"a process needs at least 2 steps, got {steps}; ask for more (diffusion.steps)")
    if steps > MOST_STEPS:
        raise ValueError(f"a process has at most {MOST_STEPS} steps, got {steps}; set diffusion.steps=1000")


def require_betas(betas: Tensor) -> None:
    """Raise ValueError unless `betas` is a chain of noising steps."""
    require_steps(betas.numel() if betas.ndim == 1 else 0)
    if bool((betas[:-1] == 1).any()):
        raise ValueError("a beta is 1 before the last step, which alone may leave pure noise; set diffusion/schedule")
    worst = betas.max().item() if betas.max() > 1 else betas.min().item()
    if not 0 < worst <= 1 or math.isnan(worst):
        raise ValueError(
            f"{len(betas)} steps give a beta of {worst:.4g}, which must lie in (0, 1]; change diffusion.schedule, or "
            "diffusion.steps: a linear schedule needs at least 21 steps (diffusion.steps=21)"
        )
