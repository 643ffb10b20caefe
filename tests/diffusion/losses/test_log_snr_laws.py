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
    Mixture,
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
CHANCE = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
STRATA = (torch.arange(20_000) + CHANCE) / 20_000


def normal_share(log_snr, law):
    return torch.special.ndtr((law.mean - log_snr) / law.std)


def laplace_share(log_snr, law):
    mean, scale = torch.tensor([law.mean, law.scale], dtype=torch.float64)
    return 1 - torch.distributions.Laplace(mean, scale).cdf(log_snr)


@pytest.mark.parametrize("name, share", {**dict.fromkeys(LAWS, normal_share), "laplace": laplace_share}.items())
def test_a_law_is_the_inverse_of_its_distribution_function(name, share):
    # Of which the share counts from the cleanest: what lies above.
    log_snr = LAWS[name].log_snr(CELLS)
    assert torch.allclose(share(log_snr, LAWS[name]), CELLS, rtol=0, atol=1e-9)


def test_the_laws_of_edm_and_of_stable_diffusion_3_by_their_own_words():
    z = torch.special.ndtri(CELLS)
    sigma = (-Normal().log_snr(CELLS) / 2).exp()  # of alpha = 1
    assert torch.allclose(sigma.log(), -1.2 + 1.2 * z, rtol=0, atol=1e-9)
    _, time = Straight().alpha_sigma(LogitNormal(mean=0.3, std=0.8).log_snr(CELLS))
    assert torch.allclose(time, (0.3 + 0.8 * z).sigmoid(), rtol=0, atol=1e-9)


def test_with_log_sigma_the_bound_is_the_plain_error_of_v():
    # The bound is half the integral of |d eps|^2 = alpha^2 |dv|^2 over log-SNR (Kingma et al. 2021), whatever |dv| is.
    law, error = LogSigma(top=10.0, bottom=-4.0), lambda log_snr: 2 + (log_snr / 3).sin()
    log_snr = torch.linspace(-4, 10, 200_001, dtype=torch.float64)
    bound = torch.trapezoid(log_snr.sigmoid() * error(log_snr), log_snr) / 2
    _, ends = VariancePreserving().alpha_sigma(torch.tensor([10.0, -4.0], dtype=torch.float64))
    constant = (ends[1] / ends[0]).log()
    assert constant * error(law.log_snr(CELLS)).mean() == pytest.approx(bound.item(), rel=1e-7)


@pytest.mark.parametrize("name", LAWS)
def test_mean_and_spread(name):
    log_snr = LAWS[name].log_snr(STRATA)  # of independent draws the mean alone would be off by std / 141
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


def test_a_random_number_in_float32_is_the_middle_of_its_cell():
    u = torch.tensor([0.0, 1 - 2.0**-24])
    t, _ = Normal(mean=0.0, std=1.0).draw(u, PROCESSES[1])
    assert t[0] == -t[1] == pytest.approx(-torch.special.ndtri(torch.tensor(2.0**-25, dtype=torch.float64)).item())


def test_every_quarter_of_the_way_is_told_apart_in_the_log():
    law, process = Normal(mean=0.0, std=3.0), Continuum(EvenLogSNR(top=6.0, bottom=-6.0), VariancePreserving())
    quarter = process.bin(law.draw(CELLS, process).t, 4)
    inner = torch.special.ndtr(torch.tensor(1.0)) - 0.5  # of log-SNR 0 to 3, which is one standard deviation
    shares = torch.bincount(quarter) / len(CELLS)
    assert torch.allclose(shares, torch.stack([0.5 - inner, inner, inner, 0.5 - inner]), rtol=0, atol=1e-4)


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
    for ends in ((1.0, 2.0), (math.inf, 0.0)):
        with pytest.raises(ValueError, match=r"^top=[^\n]*set train\.schedule_sampler\.top and bottom$"):
            LogSigma(top=ends[0], bottom=ends[1])
    with pytest.raises(ValueError, match=r"^mean=nan [^\n]*set train\.schedule_sampler\.mean=0$"):
        Laplace(mean=math.nan)


def test_a_mixture_draws_its_share_by_each_of_its_laws():
    law = Mixture(Normal(mean=-3.0, std=0.5), LogSigma(top=12.0, bottom=4.0), share=0.25)
    log_snr = law.log_snr(CELLS)
    assert torch.allclose(log_snr[:5000], law.second.log_snr(CELLS[:5000] * 4), rtol=0, atol=1e-9)
    assert torch.allclose(log_snr[5000:], law.first.log_snr((CELLS[5000:] - 0.25) / 0.75), rtol=0, atol=1e-9)
    assert (log_snr > 3.9).double().mean() == 0.25  # none of the first law lies so high
    t, weights = law.draw(STRATA.float(), PROCESSES[1])
    assert (PROCESSES[1].level(t).log_snr > 3.9).double().mean().item() == pytest.approx(0.25, abs=1e-3)
    assert bool((weights == 1).all()) and bool(t.isfinite().all())


@pytest.mark.parametrize("share", [0.0, 1.0, math.nan])
def test_a_mixture_of_one_law_is_refused(share):
    with pytest.raises(ValueError, match=r"^share=[^\n]*set train\.schedule_sampler\.share=0\.3$"):
        Mixture(Normal(), LogSigma(), share=share)


def test_a_mixture_of_what_is_no_law_of_the_log_snr_is_refused():
    with pytest.raises(ValueError, match=r"^first is Uniform, [^\n]*set train/schedule_sampler@train\.[^\n]*=normal$"):
        Mixture(Uniform(), LogSigma())


def test_a_law_that_is_not_stratified_is_no_part_of_a_mixture():
    with pytest.raises(
        ValueError, match=r"^second\.stratified=false [^\n]*; set train\.schedule_sampler\.stratified=false$"
    ):
        Mixture(Normal(), LogSigma(stratified=False))
