"""Two ways to let a gradient steer a step (Dhariwal & Nichol 2021, section 4)."""

from __future__ import annotations

from torch import Tensor

from diffusion.denoiser.gaussian import GaussianDiffusion, Reverse
from diffusion.samplers.sampler import Guidance


def shift_mean(diffusion: GaussianDiffusion, reverse: Reverse, x_t: Tensor, t: Tensor, guidance: Guidance) -> Reverse:
    """The mean moves by variance * gradient: for steps that draw from the Gaussian (algorithm 1)."""
    gradient = guidance(x_t, diffusion.process.time(t))
    return reverse._replace(mean=reverse.mean + reverse.variance * gradient)


def shift_score(diffusion: GaussianDiffusion, reverse: Reverse, x_t: Tensor, t: Tensor, guidance: Guidance) -> Reverse:
    """The noise moves by -sqrt(1 - alpha_bar) * gradient, x_0 and mean follow; x_0 is not clipped again (alg. 2)."""
    process = diffusion.process
    gradient = guidance(x_t, process.time(t))
    eps = process.eps_from_x_0(reverse.x_0, x_t, t) - process.noise.at(t, x_t) * gradient
    x_0 = process.x_0_from_eps(eps, x_t, t)
    return reverse._replace(x_0=x_0, mean=process.posterior_mean(x_0, x_t, t))
