"""Noise schedules."""

import math

import pytest
import torch

from diffusion import Chain, Cosine, Linear


@pytest.mark.parametrize("steps", [20, 300, 1000, 4000])
def test_linear_adds_the_same_noise_whatever_the_number_of_steps(steps):
    betas = Linear().betas(steps)
    assert betas.dtype == torch.float64
    assert betas.sum().item() == pytest.approx(1000 * (1e-4 + 0.02) / 2, rel=1e-12)
    # equal steps, to float64's rounding
    assert torch.allclose(betas.diff(), betas.diff()[:1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("steps", [2, 50, 1000, 4000])
def test_cosine_betas_multiply_to_the_cosine_and_only_the_last_is_clipped(steps):
    betas = Cosine().betas(steps)
    t = torch.arange(1, steps, dtype=torch.float64)
    wanted = torch.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    # 4000 products in float64, whose factors near 1 carry an absolute error of 1e-16 each
    assert torch.allclose((1 - betas).cumprod(0)[:-1], wanted, rtol=1e-9, atol=0)
    assert betas[-1] == 0.999 and (betas[:-1] < 0.999).all()


def test_linear_with_too_few_steps_is_refused_with_the_number_it_needs():
    Chain(Linear().betas(20))
    with pytest.raises(ValueError, match=r"beta of 1\.053.*diffusion\.steps=21"):
        Chain(Linear().betas(19))
