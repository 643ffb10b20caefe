"""The Gaussian terms of the variational bound."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.denoiser.gaussian import GaussianDiffusion

HALF_LEVEL = 1 / 255
LOG_FLOOR = math.log(1e-12)


def normal_kl(mean_1: Tensor, log_variance_1: Tensor, mean_2: Tensor, log_variance_2: Tensor) -> Tensor:
    """KL(N(mean_1, exp log_variance_1) || N(mean_2, exp log_variance_2)) of each element, in nats."""
    ratio = log_variance_1 - log_variance_2
    return 0.5 * (torch.expm1(ratio) - ratio + (mean_1 - mean_2) ** 2 * torch.exp(-log_variance_2))


def logistic_argument(z: Tensor) -> Tensor:
    """2u where Phi(z) is near sigmoid(2u): the tanh approximation of the normal distribution function."""
    return 2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def discretized_log_probability(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log P(x) of each element, in nats, if the 256 levels of [-1, 1] share out N(mean, exp(log_std)^2).

    The level of x reaches 1/255 to each side; the outermost two are open. With sigmoid(a) the distribution function
    at the upper edge and sigmoid(b) at the lower, log(sigmoid(a) - sigmoid(b)) is written as log sigmoid(a) +
    log sigmoid(-b) + log(1 - exp(b - a)), and a - b without the cancellation, so that float32 keeps its digits far
    from the mean. A level is never less likely than 1e-12, as in the released code.
    """
    scale = torch.exp(-log_std)
    upper, lower = scale * (x - mean + HALF_LEVEL), scale * (x - mean - HALF_LEVEL)
    a, b = logistic_argument(upper), logistic_argument(lower)
    cubic = 0.044715 * (upper**2 + upper * lower + lower**2)
    gap = 2 * math.sqrt(2 / math.pi) * (2 * HALF_LEVEL) * scale * (1 + cubic)

    inside = F.logsigmoid(a) + F.logsigmoid(-b) + torch.log(-torch.expm1(-gap))
    log_probability = torch.where(x < -0.999, F.logsigmoid(a), torch.where(x > 0.999, F.logsigmoid(-b), inside))
    return log_probability.clamp(min=LOG_FLOOR)


def bits_per_dim(nats: Tensor) -> Tensor:
    """Nats of each element (N, C, ...) -> mean bits of each image (N,)."""
    return nats.flatten(1).mean(1) / math.log(2)


def bound_term(
    diffusion: GaussianDiffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, *, clip: bool = False
) -> Tensor:
    """One term of the variational bound in bits/dim, (N,): L_0 where t = 0, else L_t (eqs. 5 and 6)."""
    process = diffusion.process
    reverse = diffusion.reverse(output, x_t, t, clip=clip)
    true_mean = process.posterior_mean(x_0, x_t, t)
    kl = normal_kl(true_mean, process.posterior_log_variance.at(t, x_t), reverse.mean, reverse.log_variance)
    nll = -discretized_log_probability(x_0, reverse.mean, 0.5 * reverse.log_variance)
    return torch.where(t == 0, bits_per_dim(nll), bits_per_dim(kl))


def prior_term(diffusion: GaussianDiffusion, x_0: Tensor) -> Tensor:
    """KL(q(x_{T-1} | x_0) || N(0, 1)) in bits/dim, (N,): what the last step still knows of the image (eq. 7)."""
    process = diffusion.process
    t = torch.full((len(x_0),), len(process) - 1, device=x_0.device)
    mean, log_variance = process.signal.at(t, x_0) * x_0, process.log_noise_variance.at(t, x_0)
    zero = torch.zeros((), dtype=x_0.dtype, device=x_0.device)
    return bits_per_dim(normal_kl(mean, log_variance, zero, zero))
