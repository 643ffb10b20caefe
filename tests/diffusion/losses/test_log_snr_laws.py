"""Laws of levels that are distributions of the log-SNR."""

import math

import pytest
import torch

from diffusion import (
    Chain,
    Continuum,
    Cosine,
    CosineLogSNR,
    EvenLogSNR,
    Laplace,
    LogitNormal,
    LogSigma,
    LossSecondMoment,
    Normal,
    Straight,
    StraightTime,
    Uniform,
    VariancePreserving,
)
from diffusion.process.level import Level

LAWS = {"normal": Normal(), "logit_normal": LogitNormal(mean=0.3, std=0.8), "laplace": Laplace(mean=1.0, scale=0.7)}
MOMENTS = {"normal": (2.4, 2.4), "logit_normal": (-0.6, 1.6), "laplace": (1.0, 0.7 * math.sqrt(2))}
PROCESSES = [
    Chain(Cosine().betas(1000)),
    Continuum(EvenLogSNR(), VariancePreserving()),
    Continuum(StraightTime(), Straight()),
]
CELLS = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000


@pytest.mark.parametrize("name", LAWS)
def test_mean_and_spread(name):
    log_snr = LAWS[name].log_snr(CELLS)
    assert log_snr.mean().item() == pytest.approx(MOMENTS[name][0], abs=1e-3)
    assert log_snr.std().item() == pytest.approx(MOMENTS[name][1], rel=2e-3)
    assert (log_snr.diff() < 0).all()  # from the cleanest to the noisiest, as a process's own shares


def test_log_sigma_is_even_between_its_ends():
    law = LogSigma(top=10.0, bottom=-4.0)
    _, sigma = VariancePreserving().alpha_sigma(law.log_snr(CELLS))
    steps = sigma.log().diff()
    assert torch.allclose(steps, steps[:1], rtol=1e-6, atol=0)
    ends = law.log_snr(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert torch.allclose(ends, torch.tensor([10.0, -4.0], dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("law", [*LAWS.values(), LogSigma()])
def test_every_law_runs_on_every_process_and_its_tails_are_finite(process, law):
    u = torch.tensor([0.0, 2.0**-24, 0.5, 1 - 2.0**-24])
    t, weights = law.draw(u, process)
    level = process.level(t)
    assert isinstance(level, Level) and level.time.isfinite().all() and torch.equal(weights, torch.ones(4))
    assert (level.log_snr.diff() <= 0).all() and level.log_snr.isfinite().all()


def test_no_tail_is_cut_off_at_the_ends_of_the_process():
    process = Continuum(CosineLogSNR(top=5.0, bottom=-5.0), VariancePreserving())
    level = process.level(Normal(mean=0.0, std=8.0).draw(torch.tensor([0.01, 0.99]), process).t)
    assert level.log_snr[0] > 15 and level.log_snr[1] < -15
    assert level.time.tolist() == [0.0, 1000.0]  # of which the network hears what it hears at the end


@pytest.mark.parametrize("law", [Normal, LogitNormal, Laplace, LogSigma, Uniform, LossSecondMoment])
def test_stratified_is_a_setting_of_every_law(law):
    assert law().stratified == (law not in (Uniform, LossSecondMoment)) and law(stratified=True).stratified


@pytest.mark.parametrize(
    "law, settings, key",
    [(Normal, {"std": 0.0}, "std"), (LogitNormal, {"std": -1.0}, "std"), (Laplace, {"scale": math.inf}, "scale")],
)
def test_no_spread_is_refused(law, settings, key):
    with pytest.raises(ValueError, match=rf"^{key}=[^\n]*set train\.schedule_sampler\.{key}=1$"):
        law(**settings)
    with pytest.raises(ValueError, match=r"train\.schedule_sampler\.top and bottom"):
        LogSigma(top=1.0, bottom=2.0)
