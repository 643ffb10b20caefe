"""The variance of a reverse step."""

import torch

from diffusion import Chain, Cosine, FixedLarge, FixedSmall, Learned, LearnedRange
from diffusion.process.continuum import Continuum, VariancePreserving
from diffusion.process.level import moves
from diffusion.process.log_snr import EvenLogSNR

STEPS = 20
MOVE = Chain(Cosine().betas(STEPS)).move(torch.arange(STEPS))
LIKE = torch.zeros(STEPS, 1, dtype=torch.float64)


def log_variance(variance, raw=LIKE, move=MOVE):
    return variance.log_variance(move, raw, LIKE[: len(raw)])


def test_the_learned_range_lies_between_the_fixed_ones():
    beta = MOVE.upper.log()[:, None]
    assert torch.allclose(log_variance(LearnedRange(), LIKE - 1), log_variance(FixedSmall()))
    assert torch.allclose(log_variance(LearnedRange(), LIKE + 1), beta)
    assert torch.allclose(log_variance(LearnedRange(), LIKE), (log_variance(FixedSmall()) + beta) / 2)
    # It is a range for reading, not a fence: the network may leave it.
    assert (log_variance(LearnedRange(), LIKE + 3) > beta).all()


def test_fixed_variances_are_beta_tilde_and_beta_with_a_stand_in_at_the_first_step():
    tilde, beta = MOVE.variance, MOVE.upper
    small, large = (v.variance(MOVE, LIKE, LIKE)[:, 0] for v in (FixedSmall(), FixedLarge()))
    assert torch.equal(small, tilde) and torch.equal(large[1:], beta[1:])
    assert small[0] == 0 and large[0] == tilde[1]
    assert torch.allclose(log_variance(FixedSmall())[0].exp(), tilde[1:2])


def test_learned_is_the_networks_own_word():
    raw = torch.randn(STEPS, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(log_variance(Learned(), raw), raw)


def test_on_a_walk_of_any_process_all_are_finite_even_where_one_step_is_all():
    process, raw = Continuum(EvenLogSNR(), VariancePreserving()), torch.tensor([[3.0]])
    walks = [process.walk(process.evenly(steps)) for steps in (1, 2, 5)]
    for move in (move for levels in walks for move in moves(levels)):
        assert all(log_variance(v, raw, move).isfinite().all() for v in (FixedSmall(), FixedLarge(), LearnedRange()))
