"""Which t to train on."""

import pytest
import torch

from diffusion import Chain, Cosine, LossSecondMoment, Uniform
from diffusion.losses.schedule_samplers import draw_bins
from diffusion.process.continuum import Continuum, VariancePreserving
from diffusion.process.log_snr import CosineLogSNR

STEPS = 8
CHAIN = Chain(Cosine().betas(STEPS))
CONTINUUM = Continuum(CosineLogSNR(), VariancePreserving())
COUNT = 100_000
GRID = (torch.arange(COUNT, dtype=torch.float64) + 0.5) / COUNT
"""Meets each t in proportion to its probability, so that a mean over it is the expectation."""


def warmed_up(process=CHAIN, history=3) -> LossSecondMoment:
    """After `history` losses in each bin k, of which the last is k + 1 and the others are half of that."""
    sampler, bins = LossSecondMoment(history=history), process.bins
    middles = (torch.arange(bins, dtype=torch.float64) + 0.5) / bins
    for i in range(history):
        sampler.update(process.t(middles), torch.arange(1, bins + 1) * (1.0 if i == history - 1 else 0.5), process)
    return sampler


SAMPLERS = pytest.mark.parametrize("sampler_of", [lambda _: Uniform(), warmed_up], ids=["uniform", "second_moment"])


@SAMPLERS
@pytest.mark.parametrize("process", [CHAIN, CONTINUUM], ids=["chain", "continuum"])
def test_importance_weights_leave_the_mean_over_the_way_unbiased(sampler_of, process):
    t, weights = sampler_of(process).draw(GRID, process)
    loss = lambda t: (5 * process.share(t)).sin()  # noqa: E731
    # The weights are float32. What is left is where the grid cuts a bin.
    mean = loss(process.t(GRID)).mean().item()
    assert (loss(t) * weights).mean().item() == pytest.approx(mean, abs=process.bins / COUNT)
    assert weights.mean().item() == pytest.approx(1, abs=process.bins / COUNT)


def test_uniform_draws_each_t_of_a_chain_alike_and_evenly_on_a_continuum():
    t, weights = Uniform().draw(GRID, CHAIN)
    assert torch.bincount(t).tolist() == [COUNT // STEPS] * STEPS and torch.equal(weights, torch.ones(COUNT))
    t, _ = Uniform().draw(GRID, CONTINUUM)
    # But for the millionth of a bin that is kept off its edges.
    assert torch.allclose(CONTINUUM.share(t), GRID, rtol=0, atol=1e-7)


@SAMPLERS
def test_every_u_gives_a_t(sampler_of):
    t, weights = sampler_of(CHAIN).draw(torch.tensor([0.0, 1 - 2**-24]), CHAIN)
    assert t.tolist() == [0, STEPS - 1] and torch.isfinite(weights).all()


@pytest.mark.parametrize("process", [CHAIN, CONTINUUM], ids=["chain", "continuum"])
def test_probabilities_follow_the_root_mean_square_with_a_uniform_part(process):
    bins = 100 if process is CONTINUUM else STEPS
    rms = (torch.arange(1, bins + 1, dtype=torch.float64) ** 2 * (0.25 + 0.25 + 1) / 3).sqrt()
    wanted = 0.999 * rms / rms.sum() + 0.001 / bins
    p = warmed_up(process).probabilities(process)
    assert torch.allclose(p, wanted, rtol=1e-12, atol=0) and p.sum().item() == pytest.approx(1, rel=1e-12)
    # And as often is each of them drawn.
    drawn = torch.bincount(process.bin(warmed_up(process).draw(GRID, process).t, bins), minlength=bins)
    assert (drawn - COUNT * wanted).abs().max() <= 2


def test_a_chain_draws_the_t_where_the_distribution_function_passes_u():
    p, u = torch.rand(2, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, chain = p / p.sum(), Chain(Cosine().betas(1000))
    t, weights = draw_bins(p, u, chain)
    assert torch.equal(t, torch.searchsorted(p.cumsum(0), u, right=True))
    assert torch.equal(weights, (1 / (1000 * p[t])).float())


def test_uniform_until_every_t_has_its_history_which_then_forgets_the_oldest():
    chain, sampler = Chain(Cosine().betas(2)), LossSecondMoment(history=2)
    sampler.update(torch.tensor([0, 0, 0, 1]), torch.tensor([9.0, 1.0, 2.0, 5.0]), chain)
    assert sampler.probabilities(chain) is None
    assert all(map(torch.equal, sampler.draw(GRID, chain), Uniform().draw(GRID, chain)))
    sampler.update(torch.tensor([1]), torch.tensor([6.0]), chain)
    assert sampler.probabilities(chain) is not None and sampler.losses.tolist() == [[1, 2], [5, 6]]


def test_a_batch_is_learned_as_if_its_images_came_one_by_one():
    chance, chain = torch.Generator().manual_seed(0), Chain(Cosine().betas(4))
    whole, single = LossSecondMoment(history=3), LossSecondMoment(history=3)
    for _ in range(3):
        t, losses = torch.randint(4, (9,), generator=chance), torch.rand(9, generator=chance)
        whole.update(t, losses, chain)
        for i in range(9):
            single.update(t[i : i + 1], losses[i : i + 1], chain)
        assert torch.equal(whole.losses, single.losses) and torch.equal(whole.counts, single.counts)


def test_a_state_brings_back_the_history_but_not_into_another_process():
    before, after = warmed_up(), LossSecondMoment(history=3)
    after.load_state_dict(before.state_dict(), CHAIN)
    assert torch.equal(after.probabilities(CHAIN), before.probabilities(CHAIN))
    other = Chain(Cosine().betas(4))
    for goes_on in (lambda: after.draw(GRID, other), lambda: after.load_state_dict(before.state_dict(), other)):
        with pytest.raises(ValueError, match=r"losses are \(8, 3\), needed \(4, 3\)"):
            goes_on()


@pytest.mark.parametrize(
    "damaged", [{"losses": torch.zeros(1, 8, 3)}, {"losses": torch.zeros(0)}, {"counts": torch.zeros(0)}]
)
def test_a_state_of_another_shape_is_refused_when_it_is_loaded(damaged):
    with pytest.raises(ValueError, match=r"the schedule sampler's losses are"):
        LossSecondMoment(history=3).load_state_dict({**warmed_up().state_dict(), **damaged}, CHAIN)


def test_settings_that_remember_nothing_are_refused():
    with pytest.raises(ValueError, match="history=0 must be at least 1"):
        LossSecondMoment(history=0)
    with pytest.raises(ValueError, match=r"uniform_fraction=1.5 must lie between 0 and 1"):
        LossSecondMoment(uniform_fraction=1.5)
