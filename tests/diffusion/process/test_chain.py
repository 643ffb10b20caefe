"""The chain against computations that do not share its formulas. All in float64, so 1e-9 is rounding."""

import pytest
import torch

from diffusion import Chain, Cosine, Epsilon, FixedSmall, GaussianDiffusion, Linear, Simple
from diffusion.process.respacing import kept_steps


@pytest.fixture(params=[Linear(), Cosine()], ids=["linear", "cosine"])
def betas(request):
    return request.param.betas(200)


def test_one_jump_is_as_many_steps(betas):
    signal, variance, level = 1.0, 0.0, Chain(betas).level(torch.arange(200))
    for t, beta in enumerate(betas.tolist()):
        signal, variance = signal * (1 - beta) ** 0.5, (1 - beta) * variance + beta
        assert level.alpha[t].item() == pytest.approx(signal, rel=1e-9)
        assert level.sigma[t].item() ** 2 == pytest.approx(variance, rel=1e-9)


def test_the_variances_of_a_move_are_beta_tilde_and_beta(betas):
    move, alpha_bar = Chain(betas).move(torch.arange(200)), (1 - betas).cumprod(0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
    assert torch.allclose(move.upper, betas, rtol=1e-9, atol=0)
    assert torch.allclose(move.variance, betas * (1 - before) / (1 - alpha_bar), rtol=1e-9, atol=0)
    assert move.variance[0] == 0 and move.arriving(move.variance)[0] == move.variance[1]
    alone = Chain(betas).respace([199]).move(torch.tensor([0]))
    assert alone.arriving(alone.variance) == alone.upper == 1 - alpha_bar[199]


def test_the_first_step_goes_back_to_the_image_itself(betas):
    x_0, x_t = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Chain(betas).move(torch.zeros(4, dtype=torch.int64)).mean(x_t, x_0), x_0)


def test_a_respaced_chain_has_the_levels_and_times_of_the_whole(betas):
    chain, kept = Chain(betas), kept_steps(200, "7,3")
    respaced = chain.respace(kept)
    assert torch.equal(respaced.alpha_bar, chain.alpha_bar[kept]) and len(chain) == 200
    assert respaced.level(torch.arange(len(kept))).time.tolist() == kept
    assert respaced.respace([0, 4, 9]).times.tolist() == [kept[0], kept[4], kept[9]]
    with pytest.raises(ValueError, match="at least 1 step"):
        chain.respace([])


def test_a_walk_is_the_respaced_chain_from_noise_to_the_image(betas):
    chain = Chain(betas)
    walk, respaced = chain.walk(torch.tensor([199, 80, 3])), chain.respace([3, 80, 199])
    for level, t in zip(walk, (2, 1, 0), strict=False):
        assert level.alpha == respaced.level(torch.tensor([t])).alpha and level.time == respaced.times[t]
    assert len(walk) == 4 and walk[-1].alpha == 1 and walk[-1].sigma == 0


def test_shares_and_the_nearest_log_snr_name_each_t(betas):
    chain, t = Chain(betas), torch.arange(200)
    assert torch.equal(chain.t(chain.share(t)), t)
    assert torch.equal(chain.nearest(chain.level(t).log_snr + 1e-9), t)
    assert torch.equal(chain.bin(t, 200), t)
    assert torch.bincount(chain.bin(t, 4)).tolist() == [50] * 4


def test_a_chain_has_a_beta_of_each_of_two_steps_or_more():
    for betas, message in (([0.5], "at least 2 steps"), ([0.5, 1.5], "a beta of 1.5"), ([0.0, 0.5], "a beta of 0")):
        with pytest.raises(ValueError, match=message):
            Chain(torch.tensor(betas, dtype=torch.float64))


@pytest.mark.parametrize("steps", [-1, 0, 1, 1_000_001, 2_000_000_000, 10**30])
def test_a_chain_of_too_few_or_too_many_steps_is_refused_before_any_is_made(steps):
    with pytest.raises(ValueError, match=rf"a process (needs at least 2|has at most 1000000) steps, got {steps}; "):
        GaussianDiffusion(steps=steps, schedule=None, prediction=Epsilon(), variance=FixedSmall(), loss=Simple())
