"""Which levels a sampler walks through."""

import pytest
import torch

from diffusion import DDIM, Ancestral, Chain, Cosine, Linear
from diffusion.process.continuum import Continuum, Straight, VariancePreserving
from diffusion.process.log_snr import CosineLogSNR, StraightTime
from diffusion.process.respacing import kept_steps
from diffusion.samplers.spacing import EvenSpacing, LogSNRSpacing, TrailingSpacing

CHAIN = Chain(Cosine().betas(1000))
CONTINUA = [Continuum(CosineLogSNR(), VariancePreserving()), Continuum(StraightTime(top=6.0), Straight())]


@pytest.mark.parametrize("steps", [None, 50, "50", "10,15,20", [10, 15, 20], "ddim50"])
def test_even_reads_the_released_notations(steps):
    assert EvenSpacing().t(CHAIN, steps).tolist() == kept_steps(1000, steps)[::-1]
    levels = Ancestral(steps=steps).levels(CHAIN)
    assert [level.time.item() for level in levels[:-1]] == kept_steps(1000, steps)[::-1]
    assert levels[-1].sigma == 0


def test_one_even_step_begins_at_noise():
    assert EvenSpacing().t(CHAIN, 1).tolist() == [999]


@pytest.mark.parametrize("process", CONTINUA)
def test_even_is_even_in_the_time_that_the_network_is_told(process):
    times = torch.cat([level.time for level in DDIM(steps=11).levels(process)[:-1]])
    assert torch.allclose(times, torch.linspace(1000, 0, 11), rtol=0, atol=1e-3)


def test_trailing_steps_count_from_pure_noise():
    # Lin et al. 2024, table 2: of 1000 steps, counted from 1, ten are 1000, 900 .. 100.
    assert TrailingSpacing().t(CHAIN, 10).tolist() == list(range(999, 0, -100))
    assert TrailingSpacing().t(CHAIN, None).tolist() == list(reversed(range(1000)))
    for count in (1, 3, 7, 999):
        t = TrailingSpacing().t(CHAIN, count)
        assert len(t) == count and t[0] == 999 and (t.diff() < 0).all()
    for process in CONTINUA:
        share = process.share(TrailingSpacing().t(process, 4))
        assert torch.allclose(share, torch.tensor([1, 0.75, 0.5, 0.25], dtype=torch.float64), rtol=0, atol=1e-8)


@pytest.mark.parametrize("process", CONTINUA)
def test_even_log_snr_is_even_in_log_snr_between_the_ends(process):
    log_snr = process.level(LogSNRSpacing().t(process, 9)).log_snr
    assert torch.allclose(log_snr.diff(), log_snr.diff()[:1], rtol=1e-9, atol=0) and log_snr[0] < log_snr[-1]
    assert torch.allclose(process.share(log_snr[[0, -1]]), torch.tensor([1.0, 0.0]).double(), rtol=0, atol=1e-9)


def test_even_log_snr_is_met_exactly_between_the_steps_of_a_chain():
    log_snr = CHAIN.level(torch.arange(1000)).log_snr
    grid = torch.linspace(log_snr[-1].item(), log_snr[0].item(), 9, dtype=torch.float64)
    t = LogSNRSpacing().t(CHAIN, 9)
    assert torch.allclose(CHAIN.level(t).log_snr, grid, rtol=1e-12, atol=1e-12)
    assert t[0] == 999 and t[-1] == 0
    # What the network is told lies between what it is told at the steps beside it.
    assert torch.allclose(CHAIN.level(t).time, t, rtol=0, atol=1e-12)


def test_even_log_snr_begins_at_pure_noise_where_the_chain_does():
    betas = torch.cat([Linear().betas(100), torch.ones(1, dtype=torch.float64)])
    t = LogSNRSpacing().t(Chain(betas), 5)
    assert t[0] == 100 and (t.diff() < 0).all() and t[-1] == 0


@pytest.mark.parametrize("spacing", [TrailingSpacing(), LogSNRSpacing()])
@pytest.mark.parametrize("steps", ["10,15", "ddim50", 0, -1, 1001])
def test_other_spacings_take_a_number_that_the_process_has(spacing, steps):
    with pytest.raises(ValueError, match=r"sampler\.steps"):
        DDIM(steps=steps, spacing=spacing).levels(CHAIN)


def test_a_spacing_has_a_name_unless_everyone_expects_it():
    assert [spacing().name for spacing in (EvenSpacing, TrailingSpacing, LogSNRSpacing)] == ["", "trailing", "logsnr"]
