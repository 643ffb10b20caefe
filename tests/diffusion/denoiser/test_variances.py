"""The variance of a reverse step."""

import torch

from diffusion import Cosine, FixedLarge, FixedSmall, ForwardProcess, Learned, LearnedRange

STEPS = 20
PROCESS = ForwardProcess(Cosine().betas(STEPS))
T = torch.arange(STEPS)
LIKE = torch.zeros(STEPS, 1, dtype=torch.float64)


def log_variance(variance, raw=None):
    return variance.log_variance(PROCESS, LIKE if raw is None else raw, T, LIKE)


def test_the_learned_range_lies_between_the_fixed_ones():
    beta = PROCESS.beta.values.log()[:, None]
    assert torch.allclose(log_variance(LearnedRange(), LIKE - 1), log_variance(FixedSmall()))
    assert torch.allclose(log_variance(LearnedRange(), LIKE + 1), beta)
    assert torch.allclose(log_variance(LearnedRange(), LIKE), (log_variance(FixedSmall()) + beta) / 2)
    # It is a range for reading, not a fence: the network may leave it.
    assert (log_variance(LearnedRange(), LIKE + 3) > beta).all()


def test_fixed_variances_are_beta_tilde_and_beta_with_a_stand_in_at_the_first_step():
    before = torch.cat([torch.ones(1, dtype=torch.float64), PROCESS.alpha_bar.values[:-1]])
    tilde = PROCESS.beta.values * (1 - before) / (1 - PROCESS.alpha_bar.values)
    small, large = (v.variance(PROCESS, LIKE, T, LIKE)[:, 0] for v in (FixedSmall(), FixedLarge()))
    assert torch.allclose(small, tilde) and torch.allclose(large[1:], PROCESS.beta.values[1:])
    assert small[0] == 0 and large[0] == tilde[1]
    assert torch.allclose(log_variance(FixedSmall())[0].exp(), tilde[1:2])


def test_learned_is_the_networks_own_word():
    raw = torch.randn(STEPS, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(log_variance(Learned(), raw), raw)
