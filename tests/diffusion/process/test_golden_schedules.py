"""Schedules of public programs, and what a process that ends in pure noise is drawn with."""

import math

import pytest
import torch
from modern_cases import assert_modern, modern, tensors

from diffusion import (
    DDIM,
    VLB,
    Ancestral,
    Chain,
    Cosine,
    CosineLogSNR,
    DPMSolver,
    Epsilon,
    EvenLogSNR,
    EvenSpacing,
    FixedSmall,
    GaussianDiffusion,
    Heun,
    Hybrid,
    KarrasLogSNR,
    LearnedRange,
    Linear,
    LinearBeta,
    ListSpacing,
    Previous,
    ScaledLinear,
    Shifted,
    Sigmoid,
    SigmoidLogSNR,
    Simple,
    Start,
    StraightTime,
    TrailingSpacing,
    UniPC,
    Velocity,
    ZeroTerminal,
)
from diffusion.losses.bound import bound
from diffusion.losses.losses import noised
from diffusion.samplers.sampler import draw, trajectory

LEFT_OUT = {
    "one package's": ["geodiff_sigmoid_betas", "logsnr_continuous_linear", "logsnr_cosine_interpolated"],
}
SCHEDULES = {"linear": Linear(), "cosine": Cosine(), "scaled_linear": ScaledLinear()}


def chosen(values, steps):
    return values[steps.long()]


@pytest.mark.parametrize("case, inputs, expected", modern(23, "sigmoid_schedule"))
def test_sigmoid_schedule(case, inputs, expected):
    args, steps = case["args"], tensors(inputs)["steps"]
    betas = Sigmoid(start=args["start"], end=args["end"], tau=args["tau"]).betas(args["T"])
    assert_modern(case, "betas", chosen(betas, steps), expected["betas"])
    assert_modern(case, "abar", chosen(Chain(betas.clamp(min=1e-300)).alpha_bar, steps), expected["abar"])


@pytest.mark.parametrize("case, inputs, expected", modern(23, "zero_snr"))
def test_zero_terminal_snr(case, inputs, expected):
    args, steps = case["args"], tensors(inputs)["steps"]
    of = SCHEDULES[args["schedule"]]
    betas = ZeroTerminal(of=of).betas(args["T"])
    assert_modern(case, "betas", chosen(betas, steps), expected["betas"])
    assert_modern(case, "abar", chosen(Chain(betas).alpha_bar, steps), expected["abar"])
    assert betas[-1] == 1 and Chain(betas).alpha_bar[-1] == 0
    assert betas[0] == pytest.approx(of.betas(args["T"])[0].item(), rel=1e-9)


@pytest.mark.parametrize("case, inputs, expected", modern(23, "logsnr_cosine", "logsnr_shifted", "logsnr_icosine"))
def test_cosine_log_snr(case, inputs, expected):
    args, t = case["args"], tensors(inputs)["t"]
    if "s" in args:
        # The chain's own schedule, before it is divided by its first value.
        alpha_bar = torch.cos((t + args["s"]) / (1 + args["s"]) * math.pi / 2) ** 2
        angle = (t + args["s"]) / (1 + args["s"])
        got = CosineLogSNR(top=math.inf, bottom=-math.inf).log_snr(angle)
        assert torch.allclose(got, alpha_bar.logit(), rtol=1e-9, atol=1e-9)
    else:
        shift = 2 * math.log(args["noise_d"] / args["image_d"]) if "noise_d" in args else 0.0
        got = CosineLogSNR(top=args["logsnr_max"], bottom=args["logsnr_min"], shift=shift).log_snr(t)
    assert_modern(case, "log_snr", got, expected["log_snr"])


@pytest.mark.parametrize(
    "schedule",
    [
        EvenLogSNR(), CosineLogSNR(shift=-1.4), StraightTime(), LinearBeta(top=9.0), SigmoidLogSNR(),
        SigmoidLogSNR(tau=0.5, shift=2.0), KarrasLogSNR(), KarrasLogSNR(rho=1.0),
    ],
)  # fmt: skip
def test_a_share_is_the_inverse_of_a_log_snr_and_noise_rises_with_it(schedule):
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    log_snr = schedule.log_snr(u)
    assert torch.allclose(schedule.share(log_snr), u, rtol=0, atol=1e-9)
    assert (log_snr.diff() < 0).all()
    ends = torch.tensor([schedule.top, schedule.bottom], dtype=torch.float64) + schedule.shift
    assert torch.allclose(log_snr[[0, -1]], ends, rtol=0, atol=1e-9)
    between = torch.linspace(*ends.tolist(), 201, dtype=torch.float64)
    assert torch.allclose(schedule.log_snr(schedule.share(between)), between, rtol=0, atol=1e-9)


def test_the_linear_schedule_of_a_chain_is_the_continuous_one_in_many_steps():
    steps = 100_000
    chain = Chain(Linear().betas(steps))
    t = torch.tensor([1000, 30_000, 99_999])
    continuous = LinearBeta(start=0.1, end=20.0).inverse((t + 1.0).double() / steps)
    assert torch.allclose(chain.level(t).log_snr, continuous, rtol=0, atol=1e-2)


def test_the_sigmoid_of_a_chain_is_the_continuous_one():
    chain, t = Chain(Sigmoid(tau=0.7).betas(500).clamp(min=1e-300)), torch.tensor([10, 200, 480])
    place = -3 + 6 * (t + 1.0).double() / 500
    assert torch.allclose(chain.level(t).log_snr, SigmoidLogSNR(tau=0.7).inverse(place.double()), rtol=0, atol=1e-9)


def test_a_shift_by_resolution():
    plain, shifted = (Chain(schedule.betas(100)) for schedule in (Cosine(), Shifted(of=Cosine(), image_size=256)))
    t = torch.arange(100)
    moved = plain.level(t).log_snr - shifted.level(t).log_snr
    assert torch.allclose(moved, torch.full_like(moved, 2 * math.log(4)), rtol=0, atol=1e-9)


def dark(prediction, variance=None, loss=None) -> GaussianDiffusion:
    return GaussianDiffusion(
        steps=40, schedule=ZeroTerminal(of=Linear()), prediction=prediction, variance=variance or FixedSmall(),
        loss=loss or Simple(),
    )  # fmt: skip


@pytest.mark.parametrize("sampler", [Ancestral, DDIM, DPMSolver, Heun, UniPC])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("prediction", [Velocity(), Start(), Previous()])
def test_no_sampler_divides_by_a_signal_that_is_not_there(sampler, steps, prediction):
    process, chance = dark(prediction).process, torch.Generator().manual_seed(0)
    denoise = dark(prediction).denoiser(lambda x, time: x.tanh())
    noise = lambda: torch.randn(2, 1, 2, 2, generator=chance, dtype=torch.float64)  # noqa: E731
    for spacing in (EvenSpacing() if isinstance(prediction, Previous) else None, TrailingSpacing()):
        x = draw(trajectory(sampler(steps=steps, spacing=spacing), process, denoise, noise))
        assert x.isfinite().all()


def test_between_the_last_signal_and_pure_noise_alpha_falls_in_a_line():
    chain = Chain(ZeroTerminal(of=Linear()).betas(1000))
    level = chain.level(torch.tensor([998.0, 998.25, 998.75, 999.0], dtype=torch.float64))
    shares = torch.tensor([1, 0.75, 0.25, 0], dtype=torch.float64)
    assert torch.allclose(level.alpha, level.alpha[0] * shares, rtol=1e-9, atol=1e-15)
    assert torch.allclose(level.alpha**2 + level.sigma**2, torch.ones(4).double(), rtol=0, atol=1e-12)
    assert level.time.tolist() == [998.0, 998.25, 998.75, 999.0]
    assert len(DDIM(spacing=ListSpacing(t=[998.5, 500, 0])).levels(chain)) == 4


def test_the_bound_and_the_hybrid_loss_are_finite_and_the_prior_exact():
    diffusion = dark(Velocity(), LearnedRange(), Hybrid())
    x_0, eps = torch.rand(40, 1, 2, 2) * 2 - 1, torch.randn(40, 1, 2, 2)
    example = noised(diffusion.process, x_0, torch.arange(40), eps)
    denoiser = diffusion.denoiser(lambda x, time: torch.cat([x, 0 * x], 1))
    for loss in (Hybrid(), VLB()):
        assert loss(diffusion, denoiser, example)["loss"].isfinite().all()
    found = bound(diffusion.process, denoiser, x_0[:2], lambda t: eps[:2])
    assert found.total.isfinite().all() and torch.equal(found.prior, torch.zeros(2))


def test_what_says_nothing_of_the_image_in_pure_noise_is_refused():
    with pytest.raises(ValueError, match=r"^Epsilon says nothing [^\n]*set diffusion/prediction=velocity$"):
        dark(Epsilon())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sigmoid(tau=0.0), lambda: SigmoidLogSNR(start=2.0, end=1.0), lambda: LinearBeta(start=0.0),
        lambda: KarrasLogSNR(rho=-1.0), lambda: Shifted(of=Cosine(), image_size=0), lambda: EvenLogSNR(top=-20.0),
        lambda: EvenLogSNR(top=math.inf), lambda: CosineLogSNR(shift=math.nan), lambda: ScaledLinear(start=-1.0),
    ],
)  # fmt: skip
def test_a_schedule_that_is_none_is_refused_in_one_line(make):
    with pytest.raises(ValueError, match=r"^[^\n]*set diffusion\.schedule\.[^\n]*$"):
        make()
