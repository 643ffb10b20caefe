"""DDIM: a family of samplers between a deterministic one and the ancestral."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from diffusion.denoiser.gaussian import GaussianDiffusion, Transform
from diffusion.denoiser.guidance import shift_score
from diffusion.samplers.sampler import Network, Sampler, Step, times_for


class DDIM(Sampler):
    """x_{t-1} points at the predicted x_0, with `eta` (0 to 1) times the ancestral noise (Song et al. 2021, eq. 12).

    With eta = 0 it draws no noise after x_T, and `encode` walks the same path from an image to its x_T.
    `clip_guided` clips x_0 again after guidance moved it. The original does not; but where x_t is all noise, as at the
    end of the cosine schedule, any error of a classifier's gradient moves x_0 by 1 / sqrt(alpha_bar) as much.
    """

    def __init__(
        self, *, steps: int | str | None = None, clip: bool = True, eta: float = 0.0, clip_guided: bool = False
    ) -> None:
        super().__init__(steps=steps, clip=clip)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta lies between 0 (deterministic) and 1, got {eta}; set sampler.eta")
        self.eta, self.clip_guided = eta, clip_guided

    def step(self, diffusion, output, x_t: Tensor, t: Tensor, noise, *, guidance=None, transform=None) -> Step:
        process = diffusion.process
        reverse = diffusion.reverse(output, x_t, t, clip=self.clip, transform=transform)
        if guidance is not None:
            reverse = shift_score(diffusion, reverse, x_t, t, guidance)
            if self.clip_guided:
                reverse = reverse._replace(x_0=reverse.x_0.clamp(-1, 1))
        eps = process.eps_from_x_0(reverse.x_0, x_t, t)
        alpha_bar, before = process.alpha_bar.at(t, x_t), process.alpha_bar_prev.at(t, x_t)
        std = self.eta * ((1 - before) / (1 - alpha_bar)).sqrt() * (1 - alpha_bar / before).sqrt()
        # With eta = 1 what is left for eps can be 0, and rounding would take it below.
        x_prev = before.sqrt() * reverse.x_0 + (1 - before - std**2).clamp(min=0).sqrt() * eps
        if self.eta > 0:
            noisy = (t > 0).view(-1, *[1] * (x_t.ndim - 1))
            x_prev = x_prev + noisy * std * noise()
        return Step(x_prev, reverse.x_0)

    def step_back(
        self,
        diffusion: GaussianDiffusion,
        output: Tensor,
        x_t: Tensor,
        t: Tensor,
        *,
        transform: Transform | None = None,
    ) -> Step:
        """One step of the same path towards noise: x_{t+1} from x_t (eta = 0)."""
        process = diffusion.process
        x_0 = diffusion.reverse(output, x_t, t, clip=self.clip, transform=transform).x_0
        eps = process.eps_from_x_0(x_0, x_t, t)
        after = process.alpha_bar_next.at(t, x_t)
        return Step(after.sqrt() * x_0 + (1 - after).sqrt() * eps, x_0)

    @torch.no_grad()
    def encode(
        self,
        diffusion: GaussianDiffusion,
        network: Network,
        x_0: Tensor,
        *,
        condition: Mapping[str, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Every step from the images x_0 in [-1, 1] to the x_T that `sample` turns back into them."""
        if self.eta:
            raise ValueError(f"only the path without noise can be walked back, eta is {self.eta}; set sampler.eta=0")
        diffusion = self.spaced(diffusion)
        x_t, time_of = x_0, times_for(network, diffusion.process, x_0)
        for i in range(len(diffusion.process)):
            t = torch.full((len(x_t),), i, device=x_t.device)
            output = network(x_t, time_of(i), **(condition or {})).float()
            step = self.step_back(diffusion, output, x_t, t)
            yield step
            x_t = step.x_t
