"""What a sampler or process cannot do is refused in one line that says what to type."""

import pytest
import torch

from diffusion import (
    DDIM,
    VLB,
    Chain,
    ContinuousDiffusion,
    Continuum,
    Cosine,
    DPMSolver,
    EvenLogSNR,
    Heun,
    Hybrid,
    KarrasSpacing,
    LeadingSpacing,
    ListSpacing,
    LogSNRSpacing,
    SectionSpacing,
    UniPC,
    VariancePreserving,
    Velocity,
)

CHAIN = Chain(Cosine().betas(1000))
CONTINUUM = Continuum(EvenLogSNR(top=6.0, bottom=-6.0), VariancePreserving())


def on(process, spacing, steps=None):
    return lambda: DDIM(steps=steps, spacing=spacing).levels(process)


def trained_with(loss):
    return lambda: ContinuousDiffusion(
        schedule=EvenLogSNR(), path=VariancePreserving(), prediction=Velocity(), loss=loss
    )


REFUSED = {
    "heun of order 3": (lambda: Heun(order=3), "order=3 .* has 1 and 2; set sampler.order=2"),
    "dpm_solver of order 4": (lambda: DPMSolver(order=4), "order=4 .* has 1, 2 and 3; set sampler.order=3"),
    "unipc of order 0": (lambda: UniPC(order=0), "order=0 .* set sampler.order=3"),
    "dpm_solver of order 3 with noise": (lambda: DPMSolver(order=3, eta=1.0), "order 3 .* set sampler.eta=0"),
    "eta of 2": (lambda: DPMSolver(eta=2.0), "eta lies between 0 .*, got 2.0; set sampler.eta"),
    "churn below 0": (lambda: Heun(churn=-1.0), "churn=-1.0 must be 0 or more; set sampler.churn=0"),
    "churn from high to low": (lambda: Heun(churn_low=2.0, churn_high=1.0), "churn_low=2.0 must lie between 0 and"),
    "another coordinate": (lambda: Heun(coordinate="time"), "coordinate=time .* set sampler.coordinate=ratio or path"),
    "log-SNR beyond the noisy end": (
        on(CHAIN, ListSpacing(log_snr=[-30, 0])),
        "lie outside .*set sampler.spacing.log_snr",
    ),
    "log-SNR beyond the clean end": (
        on(CHAIN, ListSpacing(log_snr=[0, 30])),
        "lie outside .*set sampler.spacing.log_snr",
    ),
    "a ratio beyond the ends": (on(CHAIN, ListSpacing(ratio=[1e9, 1])), "lie outside .*set sampler.spacing.ratio"),
    "a grid beyond the ends": (on(CHAIN, KarrasSpacing(high=1e9), 5), "lie outside .*set sampler.spacing.low and high"),
    "a grid beyond the ends, which are named": (
        on(CONTINUUM, ListSpacing(log_snr=[-7, 0])),
        "from 33.1155 to 1 lie outside of the process, which reaches from 20.0855 to 0.0497871; set",
    ),
    "t of no step": (on(CHAIN, ListSpacing(t=[1000, 0])), "do not fall within 999 to 0.*set sampler.spacing.t"),
    "t below 0": (on(CHAIN, ListSpacing(t=[10, -0.5])), "do not fall within 999 to 0.*set sampler.spacing.t"),
    "t that rises": (on(CHAIN, ListSpacing(t=[0, 500])), "do not fall within 999 to 0.*set sampler.spacing.t"),
    "t listed twice": (on(CHAIN, ListSpacing(t=[500, 500])), "do not fall within 999 to 0.*set sampler.spacing.t"),
    "log-SNR that falls": (on(CHAIN, ListSpacing(log_snr=[0, -1])), "levels that do not lead from noise to the image"),
    "t of a continuum": (on(CONTINUUM, ListSpacing(t=[5, 0])), "has no t; set sampler.spacing.log_snr or ratio"),
    "a list and a number": (
        on(CHAIN, ListSpacing(t=[5, 0]), 3),
        "sampler.steps=3, but 2 levels .* set sampler.steps=null",
    ),
    "a list of two kinds": (lambda: ListSpacing(t=[5], ratio=[1.0]), "one of t, ratio and log_snr, got 2"),
    "an empty list": (lambda: ListSpacing(t=[]), "one of t, ratio and log_snr"),
    "leading on a continuum": (
        on(CONTINUUM, LeadingSpacing(), 5),
        "counts the steps of a chain; set sampler/spacing=even",
    ),
    "leading beyond the end": (on(CHAIN, LeadingSpacing(offset=500), 5), "set sampler.spacing.offset=500"),
    "sections of a continuum": (
        on(CONTINUUM, SectionSpacing(), "3,2"),
        "cannot cut a process without steps; give a number",
    ),
    "karras by rho 0": (lambda: KarrasSpacing(rho=0.0), "rho=0.0 must be above 0; set sampler.spacing.rho=7"),
    "karras from high to low": (lambda: KarrasSpacing(low=2.0, high=1.0), "low=2.0 must lie between 0 and high=1.0"),
    "log_snr spacing from 0": (lambda: LogSNRSpacing(low=0.0, high=1.0), "low=0.0 must lie between 0 and high=1.0"),
    "the hybrid loss on a continuum": (trained_with(Hybrid()), "the hybrid loss needs steps: .*diffusion/loss=simple"),
    "the bound on a continuum": (trained_with(VLB()), "the VLB loss needs steps: .*diffusion/loss=simple"),
    "a path for data of no spread": (
        lambda: VariancePreserving(data_std=0.0),
        "data_std=0.0 .*diffusion.path.data_std=0.5",
    ),
    "to encode with churn": (
        lambda: next(Heun(steps=3, churn=1.0).encode(lambda *_: None, CHAIN, torch.zeros(1, 1))),
        "only the path without noise can be walked back",
    ),
    "to encode with eta": (
        lambda: next(DPMSolver(steps=3, eta=0.5).encode(lambda *_: None, CHAIN, torch.zeros(1, 1))),
        "only the path without noise can be walked back, eta is 0.5; set sampler.eta=0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_in_one_line(name):
    asked, message = REFUSED[name]
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$") as caught:
        asked()
    assert "\n" not in str(caught.value)


def test_the_ends_themselves_are_not_beyond():
    for process in (CHAIN, CONTINUUM):
        ends = process.level(process.evenly(None)).log_snr[[0, -1]].tolist()
        levels = DDIM(spacing=ListSpacing(log_snr=ends)).levels(process)
        assert [level.log_snr.item() for level in levels[:-1]] == pytest.approx(ends, rel=1e-12)
    assert DDIM(spacing=ListSpacing(t=[999, 0])).levels(CHAIN)[1].time == 0
    assert Heun(churn=0.0, churn_low=1.0, churn_high=1.0).churn == 0
    assert len(DDIM(spacing=LeadingSpacing(offset=199), steps=5).levels(CHAIN)) == 6
