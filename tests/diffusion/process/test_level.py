"""Levels and the moves between them against computations that do not share their formulas. All in float64."""

import math

import pytest
import torch

from diffusion import Chain, Cosine
from diffusion.process.continuum import Straight, VariancePreserving
from diffusion.process.level import Level, Move, as_factor, moves

CHAIN = Chain(Cosine().betas(50))


def float64(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def levels():
    """Three levels, from noise on, of a chain and of both paths."""
    log_snr = float64(-5.0, -1.0, 4.0)
    yield [CHAIN.level(torch.tensor([t])) for t in (45, 30, 3)]
    for path in (VariancePreserving(), Straight()):
        yield [Level(*path.alpha_sigma(one), torch.zeros(1)) for one in log_snr.split(1)]


ROUTES = pytest.mark.parametrize("route", [*levels()], ids=["chain", "variance_preserving", "straight"])


@ROUTES
def test_a_move_between_any_two_levels_agrees_with_bayes(route):
    # x_t = a x_s + noise of variance b; q(x_s | x_t, x_0) is q(x_t | x_s) q(x_s | x_0), normalised.
    for here, there in ((route[0], route[1]), (route[0], route[2]), (route[1], route[2])):
        x_0, x_t = torch.randn(2, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        a = here.alpha / there.alpha
        b = here.sigma**2 - a**2 * there.sigma**2
        precision = a**2 / b + 1 / there.sigma**2
        mean = (a / b * x_t + there.alpha / there.sigma**2 * x_0) / precision
        move = Move(here, there)
        assert torch.allclose(move.mean(x_t, x_0), mean, rtol=1e-9, atol=1e-12)
        assert torch.allclose(move.variance, 1 / precision, rtol=1e-9, atol=0)
        assert torch.allclose(move.upper, b, rtol=1e-9, atol=0)
        assert torch.allclose(move.coefficients().std, precision.rsqrt(), rtol=1e-9, atol=0)


@ROUTES
def test_two_moves_are_one(route):
    # x_s of x_t by way of x_r: the coefficients compose, and the variances add.
    far, middle, near = route
    first, second, both = (Move(*ends).coefficients() for ends in ((far, middle), (middle, near), (far, near)))
    assert torch.allclose(second.per_x * first.per_x, both.per_x, rtol=1e-9, atol=0)
    assert torch.allclose(second.per_x * first.per_x_0 + second.per_x_0, both.per_x_0, rtol=1e-9, atol=0)
    assert torch.allclose((second.per_x * first.std) ** 2 + second.std**2, both.std**2, rtol=1e-9, atol=0)


@ROUTES
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_whatever_the_noise_a_move_keeps_the_marginal(route, eta):
    # Of x_t = alpha x_0 + sigma eps it makes alpha_s x_0 + sigma_s eps'.
    move = Move(route[0], route[2])
    per_x, per_x_0, std = move.coefficients(eta)
    assert torch.allclose(per_x * move.here.alpha + per_x_0, move.there.alpha, rtol=1e-12, atol=0)
    assert torch.allclose((per_x * move.here.sigma) ** 2 + std**2, move.there.sigma**2, rtol=1e-12, atol=0)
    assert torch.allclose(std, eta * move.coefficients(1.0).std, rtol=1e-12, atol=0)


@ROUTES
def test_image_and_noise_determine_each_other(route):
    x_0, eps = torch.randn(2, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for level in route:
        assert torch.allclose(level.eps(level.x(x_0, eps), x_0), eps, rtol=0, atol=1e-12)
        assert torch.allclose(level.log_snr, (level.alpha**2 / level.sigma**2).log(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_move_from_pure_noise_or_to_the_image_is_finite(eta):
    middle = CHAIN.level(torch.tensor([20]))
    for here, there in ((CHAIN.pure_noise(), middle), (middle, CHAIN.image()), (CHAIN.pure_noise(), CHAIN.image())):
        move = Move(here, there)
        numbers = torch.cat([*move.coefficients(eta), move.variance, move.upper, move.ratio])
        assert numbers.isfinite().all() and move.h.item() == math.inf
    to_image = Move(middle, CHAIN.image()).coefficients(eta)
    assert torch.cat(to_image).tolist() == [0, 1, 0]  # x_0 itself


def test_the_way_up_to_pure_noise_is_finite_too():
    up = Move(CHAIN.level(torch.tensor([0])), CHAIN.pure_noise()).coefficients(eta=0)
    assert torch.cat(up).isfinite().all() and up.per_x * CHAIN.level(torch.tensor([0])).sigma == 1


def test_only_the_move_that_arrives_at_the_image_borrows_a_variance():
    *_, before, last = walk = moves(CHAIN.walk(torch.tensor([49, 30, 3])))
    assert last.arriving(last.variance) == before.variance and last.variance == 0
    assert all(move.arriving(move.variance) == move.variance for move in walk[:-1])
    (alone,) = moves(CHAIN.walk(torch.tensor([30])))
    assert alone.arriving(alone.variance) == alone.upper


def test_a_factor_is_read_in_the_precision_of_the_images():
    for dtype, read in ((torch.float64, torch.float64), (torch.float32, torch.float32), (torch.float16, torch.float32)):
        factor = as_factor(float64(1 / 3), torch.zeros(1, 3, 4, 4, dtype=dtype))
        assert factor.dtype == read and factor.shape == (1, 1, 1, 1)
