"""Processes without steps."""

import math

import pytest
import torch

from diffusion.process.continuum import Continuum, Straight, VariancePreserving
from diffusion.process.log_snr import CosineLogSNR, EvenLogSNR, StraightTime

SCHEDULES = [EvenLogSNR(), CosineLogSNR(), StraightTime()]
U = torch.linspace(0, 1, 101, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_a_schedule_falls_from_top_to_bottom_and_share_inverts_it(schedule):
    log_snr = schedule.log_snr(U)
    assert torch.allclose(log_snr[[0, -1]], torch.tensor([14.0, -14.0], dtype=torch.float64), rtol=1e-9)
    assert (log_snr.diff() < 0).all()
    assert torch.allclose(schedule.share(log_snr), U, rtol=0, atol=1e-12)


def test_each_path_has_its_own_sum_and_the_log_snr_asked_for():
    log_snr = EvenLogSNR().log_snr(U)
    for path, power in ((VariancePreserving(), 2), (Straight(), 1)):
        alpha, sigma = path.alpha_sigma(log_snr)
        assert torch.allclose(alpha**power + sigma**power, torch.ones(101, dtype=torch.float64), rtol=0, atol=1e-12)
        assert torch.allclose(2 * (alpha / sigma).log(), log_snr, rtol=1e-12, atol=1e-12)


def test_each_schedule_is_even_in_what_its_paper_calls_time():
    # With ends that are far, alpha = cos(pi u / 2) where variance is preserved, and sigma = u on the straight path.
    ends = {"top": 60.0, "bottom": -60.0}
    alpha, _ = VariancePreserving().alpha_sigma(CosineLogSNR(**ends).log_snr(U))
    assert torch.allclose(alpha, (math.pi / 2 * U).cos(), rtol=0, atol=1e-12)
    _, sigma = Straight().alpha_sigma(StraightTime(**ends).log_snr(U))
    assert torch.allclose(sigma, U, rtol=0, atol=1e-12)


def test_the_network_is_told_1000_times_the_share_of_the_way():
    process = Continuum(CosineLogSNR(), VariancePreserving())
    assert torch.allclose(process.level(process.t(U)).time, 1000 * U.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("steps", [None, 1, 7, "7"])
def test_any_number_of_steps_begins_at_the_noisiest_level_and_ends_at_the_image(steps):
    process = Continuum(EvenLogSNR(top=6.0, bottom=-8.0), Straight())
    levels = process.walk(process.evenly(steps))
    assert len(levels) == 1 + (50 if steps is None else int(steps))
    assert levels[0].log_snr.item() == pytest.approx(-8) and levels[-1].sigma == 0


@pytest.mark.parametrize("steps", [0, "ddim5", "2,3", [2, 3], 10**10])
def test_steps_that_only_a_chain_has_are_refused(steps):
    with pytest.raises(ValueError, match="cannot cut a process without steps; give a number"):
        Continuum(EvenLogSNR(), Straight()).evenly(steps)


def test_what_needs_steps_says_so():
    process = Continuum(EvenLogSNR(), Straight())
    for call in (lambda: process.move(torch.zeros(1)), lambda: process.respace([0])):
        with pytest.raises(ValueError, match="a process without steps"):
            call()
    with pytest.raises(ValueError, match="top=-1 must lie above bottom=1"):
        EvenLogSNR(top=-1, bottom=1)
