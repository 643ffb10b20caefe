"""The variational bound on -log p(x_0), term by term."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.denoiser.gaussian import GaussianDiffusion
from diffusion.losses.bound import bound_term, prior_term
from diffusion.samplers.sampler import times_for


class Bound(NamedTuple):
    """bits/dim: `total` (N,) = `prior` (N,) + the sum of `vb` (N, T). Column j of the last three is t = T - 1 - j.

    `x_0_mse` and `eps_mse` (N, T) are the mean squared errors of the predicted x_0 and of the noise it implies.
    """

    total: Tensor
    prior: Tensor
    vb: Tensor
    x_0_mse: Tensor
    eps_mse: Tensor


class Term(NamedTuple):
    """A column of each of the three tables in `Bound`, (N,)."""

    vb: Tensor
    x_0_mse: Tensor
    eps_mse: Tensor


def bound(
    diffusion: GaussianDiffusion,
    network: Callable[..., Tensor],
    x_0: Tensor,
    noise: Callable[[int], Tensor],
    *,
    condition: Mapping[str, Tensor] | None = None,
    clip: bool = True,
) -> Bound:
    """The bound of images x_0 (N, C, ...) in [-1, 1], with `noise(t)` as the eps of step t (eqs. 4 to 7)."""
    return gathered(terms(diffusion, network, x_0, noise, condition=condition, clip=clip), prior_term(diffusion, x_0))


@torch.no_grad()
def terms(
    diffusion: GaussianDiffusion,
    network: Callable[..., Tensor],
    x_0: Tensor,
    noise: Callable[[int], Tensor],
    *,
    condition: Mapping[str, Tensor] | None = None,
    clip: bool = True,
) -> Iterator[Term]:
    """The terms of `bound` one by one, from t = T - 1 down to 0."""
    process = diffusion.process
    time_of = times_for(network, process, x_0)
    for i in reversed(range(len(process))):
        t = torch.full((len(x_0),), i, device=x_0.device)
        eps = noise(i)
        x_t = process.sample(x_0, t, eps)
        output = network(x_t, time_of(i), **(condition or {})).float()
        predicted = diffusion.reverse(output, x_t, t, clip=clip).x_0
        implied = process.eps_from_x_0(predicted, x_t, t)
        yield Term(
            bound_term(diffusion, output, x_0, x_t, t, clip=clip),
            ((predicted - x_0) ** 2).flatten(1).mean(1),
            ((implied - eps) ** 2).flatten(1).mean(1),
        )


def gathered(columns: Iterable[Term], prior: Tensor) -> Bound:
    """The bound that its terms and the prior add up to."""
    vb, x_0_mse, eps_mse = (torch.stack(column, dim=1) for column in zip(*columns, strict=True))
    return Bound(vb.sum(1) + prior, prior, vb, x_0_mse, eps_mse)
