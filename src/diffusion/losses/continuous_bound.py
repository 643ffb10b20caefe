"""The variational bound on -log p(x_0) of a process as if it had infinitely many steps (Kingma et al. 2021, section 4).

In nats it is a KL at the noisiest level, what the cleanest level leaves open of the image, and the integral over the
log-SNR between the two of 1/2 |eps - eps_hat|^2. Where log sigma of the path that preserves variance is uniform, that
is the plain error of v (Zheng et al. 2023, section 4.3), whatever the path of the process.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise
from diffusion.losses.bound import bits_per_dim, normal_kl
from diffusion.losses.log_snr_laws import LogSigma
from diffusion.process.level import Level, as_factor
from diffusion.process.process import Process

CLEANEST = 13.3  # log-SNR at which the 256 levels of an image are told apart for certain
NOISIEST = -20.0  # log-SNR at which nothing of an image is left that could be measured
GRID = torch.arange(256, dtype=torch.float64) / 127.5 - 1  # the values that a pixel of 8 bits can have


class ContinuousBound(NamedTuple):
    """bits/dim (N,): `total` = `prior` + `decoder` + `diffusion`. `log_snr` and `errors` are (N, K), K levels an image:
    where the integrand 1/2 |eps - eps_hat|^2, in bits/dim for one unit of log-SNR, was looked at."""

    total: Tensor
    prior: Tensor
    decoder: Tensor
    diffusion: Tensor
    log_snr: Tensor
    errors: Tensor


def ends(process: Process) -> tuple[Level, Level]:
    """The cleanest level, or the one at `CLEANEST` where the process goes beyond it, and the noisiest one.

    Where that is pure noise, it is the last level before, or the one at `NOISIEST`.
    """
    shares = torch.tensor([0.0, 1.0], dtype=torch.float64)
    log_snr = process.level(process.t(shares)).log_snr.clamp(max=CLEANEST)
    clean, noisy = torch.where(log_snr.isneginf(), NOISIEST, log_snr).split(1)
    return process.level(process.at(clean)), process.level(process.at(noisy))


def error_rate(level: Level, x_0: Tensor, expected: Tensor) -> Tensor:
    """1/2 |eps - eps_hat|^2 at a level, in nats (N,): the integrand over the log-SNR."""
    snr = (level.alpha / level.sigma) ** 2
    return 0.5 * snr.to(x_0) * (x_0 - expected).flatten(1).square().sum(1)


def prior_nats(level: Level, x_0: Tensor, std: Tensor) -> Tensor:
    """KL(N(alpha x_0, sigma^2) || N(0, std^2)) of each element, in nats."""
    own, prior = (as_factor(2 * values.log(), x_0) for values in (level.sigma, std))
    return normal_kl(as_factor(level.alpha, x_0) * x_0, own, torch.zeros_like(x_0), prior)


def decoder_log_probability(x_0: Tensor, z: Tensor, ratio: Tensor, grid: Tensor = GRID) -> Tensor:
    """log p(x_0 | z) of each element, in nats, of z = x_0 + ratio * noise.

    The values of the grid (256,) share out what a normal density around z gives them.
    """
    scale = 1 / (2 * as_factor(ratio, z) ** 2)
    parts = []
    for each, wanted, width in zip(z, x_0, scale.expand(len(z), *scale.shape[1:]), strict=True):  # 256 times an image
        others = -width[..., None] * (each[..., None] - grid.to(each)) ** 2
        parts.append(-width * (each - wanted) ** 2 - others.logsumexp(-1))
    return torch.stack(parts)


@torch.no_grad()
def continuous_bound(
    process: Process, denoise: Denoise, x_0: Tensor, noise: Callable[[int], Tensor], start: Tensor, *, levels: int = 64,
    after: Callable[[], object] = int,
) -> ContinuousBound:  # fmt: skip
    """The bound of images x_0 (N, C, ...) in [-1, 1], with 256 values a pixel, at `levels` levels for each image.

    `noise(k)` is the eps of the k-th of them, that of the decoder at k = levels; `start` (N,) in [0, 1) says where in
    its cell each level of an image lies. `after()` follows each level.
    """
    clean, noisy = ends(process)
    law = LogSigma(top=clean.log_snr.item(), bottom=noisy.log_snr.item())
    span = (torch.tensor(-law.bottom).double().sigmoid().log() - torch.tensor(-law.top).double().sigmoid().log()) / 2
    places, errors = [], []
    for k in range(levels):
        log_snr = law.log_snr(((k + start.double()) / levels).clamp(1e-9, 1 - 1e-9))
        level, eps = process.level(process.at(log_snr)), noise(k)
        places.append(log_snr)
        errors.append(error_rate(level, x_0, denoise(level.x(x_0, eps), level).x_0))
        after()
    log_snr, rates = torch.stack(places, 1), torch.stack(errors, 1)
    # One over the density of the law: an error of v counts the logarithm of sigma_1 / sigma_0.
    diffusion = (rates * (2 * span / log_snr.sigmoid()).to(rates)).mean(1)
    ratio = clean.sigma / clean.alpha
    z = x_0 + as_factor(ratio, x_0) * noise(levels)
    scale = 1 / (math.log(2) * x_0[0].numel())
    decoder = -decoder_log_probability(x_0, z, ratio).flatten(1).sum(1) * scale
    prior = bits_per_dim(prior_nats(noisy, x_0, noisy.std))
    diffusion = diffusion * scale
    return ContinuousBound(prior + decoder + diffusion, prior, decoder, diffusion, log_snr, rates * scale)
