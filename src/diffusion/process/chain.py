"""The forward process q: how an image becomes noise, and what its steps look like from behind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Table:
    """One float64 number for each t, read at a batch of t in the images' precision."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def at(self, t: Tensor, like: Tensor) -> Tensor:
        """The entries at t (N,), shaped (N, 1, ..., 1) to broadcast against `like` (N, ...)."""
        place = (t.device, torch.promote_types(like.dtype, torch.float32))
        if place not in self._copies:
            self._copies[place] = self.values.to(*place)
        return self._copies[place][t].view(-1, *[1] * (like.ndim - 1))


class ForwardProcess:
    """q(x_t | x_0) and q(x_{t-1} | x_t, x_0) of a chain of T Gaussian steps, t = 0 .. T-1.

    `betas` is float64 (T,) in (0, 1]; `times` (T,) is what the network is told at each t, the step's own number if
    not given. Equation numbers are those of Nichol & Dhariwal 2021.
    """

    def __init__(self, betas: Tensor, times: Tensor | None = None) -> None:
        check(betas)
        alpha_bar = torch.cumprod(1 - betas, 0)
        alpha_bar_prev = torch.cat([betas.new_ones(1), alpha_bar[:-1]])
        variance = betas * (1 - alpha_bar_prev) / (1 - alpha_bar)

        self.times = torch.arange(len(betas)) if times is None else times
        self.beta = Table(betas)
        self.alpha_bar = Table(alpha_bar)
        self.alpha_bar_prev = Table(alpha_bar_prev)
        self.alpha_bar_next = Table(torch.cat([alpha_bar[1:], betas.new_zeros(1)]))
        # x_t = signal * x_0 + noise * eps (eq. 9), and the same line solved for x_0.
        self.signal = Table(alpha_bar.sqrt())
        self.noise = Table((1 - alpha_bar).sqrt())
        self.log_noise_variance = Table((1 - alpha_bar).log())
        self.x_0_per_x_t = Table((1 / alpha_bar).sqrt())
        self.x_0_per_eps = Table((1 / alpha_bar - 1).sqrt())
        # q(x_{t-1} | x_t, x_0): its mean weighs x_0 and x_t (eq. 11), its variance is beta tilde (eq. 10). That is 0
        # at t = 0, so the logarithm there is that of t = 1.
        self.mean_per_x_0 = Table(betas * alpha_bar_prev.sqrt() / (1 - alpha_bar))
        self.mean_per_x_t = Table((1 - alpha_bar_prev) * (1 - betas).sqrt() / (1 - alpha_bar))
        self.posterior_variance = Table(variance)
        self.posterior_log_variance = Table(torch.cat([variance[1:2], variance[1:]]).log())
        # The other bound on the reverse variance: beta, and beta tilde of t = 1 at t = 0.
        self.upper_variance = Table(torch.cat([variance[1:2], betas[1:]]))
        self.log_beta = Table(betas.log())

    def __len__(self) -> int:
        return len(self.times)

    def respace(self, kept: Sequence[int]) -> ForwardProcess:
        """The same process seen only at the steps `kept`, rising; the network is still told the original times."""
        keep = torch.as_tensor(kept, dtype=torch.int64)
        alpha_bar = self.alpha_bar.values[keep]
        previous = torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
        return ForwardProcess(1 - alpha_bar / previous, self.times[keep])

    def time(self, t: Tensor) -> Tensor:
        """What the network is told at t: (N,) -> (N,)."""
        if self.times.device != t.device:
            self.times = self.times.to(t.device)
        return self.times[t]

    def sample(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), made from the noise eps (eq. 9)."""
        return self.signal.at(t, x_0) * x_0 + self.noise.at(t, x_0) * eps

    def posterior_mean(self, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The mean of q(x_{t-1} | x_t, x_0) (eq. 11)."""
        return self.mean_per_x_0.at(t, x_t) * x_0 + self.mean_per_x_t.at(t, x_t) * x_t

    def x_0_from_eps(self, eps: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The x_0 that becomes x_t by the noise eps."""
        return self.x_0_per_x_t.at(t, x_t) * x_t - self.x_0_per_eps.at(t, x_t) * eps

    def eps_from_x_0(self, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The noise by which x_0 becomes x_t."""
        return (self.x_0_per_x_t.at(t, x_t) * x_t - x_0) / self.x_0_per_eps.at(t, x_t)


def check(betas: Tensor) -> None:
    """Refuse what is no chain of noising steps."""
    if betas.ndim != 1 or len(betas) < 2:
        raise ValueError(
            f"a process needs at least 2 steps, got {betas.numel()}; ask for more (diffusion.steps, sampler.steps)"
        )
    worst = betas.max().item() if betas.max() > 1 else betas.min().item()
    if not 0 < worst <= 1 or math.isnan(worst):
        raise ValueError(
            f"{len(betas)} steps give a beta of {worst:.4g}, which must lie in (0, 1]; "
            "a linear schedule needs at least 20 steps (diffusion.steps=20)"
        )
