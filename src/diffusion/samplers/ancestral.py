"""Ancestral sampling: draw x_{t-1} from p(x_{t-1} | x_t) itself."""

from __future__ import annotations

from torch import Tensor

from diffusion.denoiser.guidance import shift_mean
from diffusion.samplers.sampler import Sampler, Step


class Ancestral(Sampler):
    """x_{t-1} = mean + std * noise, and the mean alone at t = 0 (Ho et al. 2020, algorithm 2)."""

    def step(self, diffusion, output, x_t: Tensor, t: Tensor, noise, *, guidance=None, transform=None) -> Step:
        reverse = diffusion.reverse(output, x_t, t, clip=self.clip, transform=transform)
        if guidance is not None:
            reverse = shift_mean(diffusion, reverse, x_t, t, guidance)
        noisy = (t > 0).view(-1, *[1] * (x_t.ndim - 1))
        std = noisy * (0.5 * reverse.log_variance).exp()
        return Step(reverse.mean + std * noise(), reverse.x_0)
