"""The variational bound on -log p(x_0) of a chain, term by term (Nichol & Dhariwal 2021, eqs. 4 to 7)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.denoiser.denoiser import Denoise, Denoised
from diffusion.process.level import Move, as_factor
from diffusion.process.process import Process

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


def bound_term(said: Denoised, move: Move, x_0: Tensor, x_t: Tensor) -> Tensor:
    """One term of the bound in bits/dim, (N,), of what a denoiser said of x_t: L_0 where the move arrives at the image,
    else L_t (eqs. 5 and 6)."""
    reverse = said.reverse(move)
    true_log_variance = as_factor(move.arriving(move.variance).log(), x_t)
    kl = normal_kl(move.mean(x_t, x_0), true_log_variance, reverse.mean, reverse.log_variance)
    nll = -discretized_log_probability(x_0, reverse.mean, 0.5 * reverse.log_variance)
    arrives = (move.there.sigma == 0).to(x_t.device)
    return torch.where(arrives, bits_per_dim(nll), bits_per_dim(kl))


def prior_term(process: Process, x_0: Tensor) -> Tensor:
    """KL(q(x_{T-1} | x_0) || N(0, 1)) in bits/dim, (N,): what the last step still knows of the image (eq. 7)."""
    last = process.level(torch.tensor([process.bins - 1]))
    # Where variance is preserved; near 1, the logarithm of sigma itself has lost digits.
    mean, log_variance = as_factor(last.alpha, x_0) * x_0, as_factor(torch.log1p(-(last.alpha**2)), x_0)
    zero = torch.zeros((), dtype=x_0.dtype, device=x_0.device)
    return bits_per_dim(normal_kl(mean, log_variance, zero, zero))


class Bound(NamedTuple):
    """bits/dim: `total` (N,) = `prior` (N,) + the sum of `vb` (N, T). Column j of the last three is t = T - 1 - j.

    `x_0_mse` and `eps_mse` (N, T) are the mean squared errors of the predicted x_0 and of the noise it implies.
    """

    total: Tensor
    prior: Tensor
    vb: Tensor
    x_0_mse: Tensor
    eps_mse: Tensor


@torch.no_grad()
def bound(
    process: Process, denoise: Denoise, x_0: Tensor, noise: Callable[[int], Tensor], after: Callable[[], object] = int
) -> Bound:
    """The bound of images x_0 (N, C, ...) in [-1, 1], with `noise(t)` as the eps of step t; `after()` follows each."""
    columns = []
    for t in reversed(range(process.bins)):
        move, eps = process.move(torch.tensor([t])), noise(t)
        x_t = move.here.x(x_0, eps)
        said = denoise(x_t, move.here)
        vb = bound_term(said, move, x_0, x_t)
        errors = (said.x_0 - x_0, move.here.eps(x_t, said.x_0) - eps)
        columns.append((vb, *((error**2).flatten(1).mean(1) for error in errors)))
        after()
    vb, x_0_mse, eps_mse = (torch.stack(column, dim=1) for column in zip(*columns, strict=True))
    prior = prior_term(process, x_0)
    return Bound(vb.sum(1) + prior, prior, vb, x_0_mse, eps_mse)
