"""Weightings, laws of levels and conversions of public programs, and the losses that they make."""

import math

import pytest
import torch
from modern_cases import PREDICTIONS, assert_modern, exact_x_0, model_of, modern, tensors

from diffusion import (
    Chain,
    ConstantWeighting,
    ContinuousDiffusion,
    Continuum,
    Cosine,
    Epsilon,
    EvenLogSNR,
    Exploding,
    LearnedUncertainty,
    Linear,
    LogitNormal,
    MinSNRWeighting,
    Normal,
    P2Weighting,
    SigmoidWeighting,
    Simple,
    SoftMinSNRWeighting,
    Start,
    VariancePreserving,
    Velocity,
)
from diffusion.denoiser.denoiser import Denoiser
from diffusion.losses.losses import noised, weights

SCHEDULES = {"linear": Linear(), "cosine": Cosine()}


def level_of(args, steps):
    return Chain(SCHEDULES[args["schedule"]].betas(args["T"])).level(steps.long())


@pytest.mark.parametrize("case, inputs, expected", modern(23, "min_snr"))
def test_min_snr(case, inputs, expected):
    args, level = case["args"], level_of(case["args"], tensors(inputs)["steps"])
    got = weights(MinSNRWeighting(gamma=args["gamma"]), PREDICTIONS[args["network_predicts"]], level)
    assert_modern(case, "weight", got, expected["weight"])
    assert_modern(case, "snr", level.log_snr.exp(), expected["snr"])


@pytest.mark.parametrize("case, inputs, expected", modern(23, "p2"))
def test_p2(case, inputs, expected):
    args = {"T": 1000, **case["args"]}
    level = level_of(args, tensors(inputs)["steps"])
    got = weights(P2Weighting(k=args["k"], gamma=args["gamma"]), Epsilon(), level)
    assert_modern(case, "weight", got, expected["weight"])


@pytest.mark.parametrize("case, inputs, expected", modern(23, "sigmoid_weight"))
def test_sigmoid_weights(case, inputs, expected):
    level = Continuum(EvenLogSNR(), VariancePreserving()).level(tensors(inputs)["log_snr"])
    for name, prediction in PREDICTIONS.items():
        got = weights(SigmoidWeighting(bias=case["args"]["bias"]), prediction, level)
        assert_modern(case, name, got, expected[name])


@pytest.mark.parametrize("case, inputs, expected", modern(23, "snr"))
def test_the_snr_of_a_chain(case, inputs, expected):
    assert_modern(case, "snr", level_of(case["args"], tensors(inputs)["steps"]).log_snr.exp(), expected["snr"])


@pytest.mark.parametrize("case, inputs, expected", modern(23, "conversions"))
def test_what_an_output_implies(case, inputs, expected):
    inputs = tensors(inputs)
    level = Continuum(EvenLogSNR(), VariancePreserving()).level(inputs["log_snr"])
    x, output = inputs["x"], inputs["output"]
    assert_modern(case, "eps_x0", Epsilon().x_0(level, output, x), expected["eps_x0"])
    assert_modern(case, "x0_eps", Start().eps(level, output, x), expected["x0_eps"])
    assert_modern(case, "v_x0", Velocity().x_0(level, output, x), expected["v_x0"])
    assert_modern(case, "v_eps", Velocity().eps(level, output, x), expected["v_eps"])


@pytest.mark.parametrize("case, inputs, expected", modern(23, "edm_weight"))
def test_edm_as_a_law_and_a_weight(case, inputs, expected):
    args, log_snr = case["args"], tensors(inputs)["log_snr"].requires_grad_()
    law = Normal(mean=-2 * args["P_mean"], std=2 * args["P_std"])
    # The density is how fast the share u of the law moves with the log-SNR.
    u = torch.special.ndtr((law.mean - log_snr) / law.std)
    assert torch.allclose(law.log_snr(u), log_snr, rtol=0, atol=1e-6)  # u near 1 has lost digits
    density = -torch.autograd.grad(u.sum(), log_snr)[0]
    assert_modern(case, "density", density, expected["density"])
    level = Continuum(EvenLogSNR(), Exploding(data_std=args["sigma_data"])).level(log_snr.detach())
    got = weights(ConstantWeighting(), Start(), level)
    assert_modern(case, "x0_weight", got, expected["x0_weight"])


class GivenUncertainty(LearnedUncertainty):
    """One that has learned these numbers u (N,)."""

    def __init__(self, u):
        super().__init__()
        self.u = u

    def penalty(self, log_snr):
        return self.u


@pytest.mark.parametrize("case, inputs, expected", modern(21, "loss_EDMLoss", "loss_EDM2Loss"))
def test_edm_losses(case, inputs, expected):
    """Normal log-SNR, and the plain error of the velocity: nothing but a law and a constant weight."""
    args, inputs = case["args"], tensors(inputs)
    path = Exploding(data_std=args["sigma_data"])
    law = Normal(mean=-2 * args["P_mean"], std=2 * args["P_std"])
    log_snr = law.log_snr(torch.special.ndtr(inputs["rnd_normal"].flatten()))
    diffusion = ContinuousDiffusion(schedule=EvenLogSNR(), path=path, prediction=Velocity(), loss=Simple())
    example = noised(diffusion.process, inputs["images"], log_snr, inputs["noise"])
    assert_modern(case, "sigma", example.level.sigma.view(expected["sigma"].shape), expected["sigma"])
    assert_modern(case, "noisy", example.x_t, expected["noisy"])
    x_0 = exact_x_0(model_of(inputs))(example.x_t, example.level)
    velocity = Velocity().target(example.level, x_0, example.level.eps(example.x_t, x_0))
    squared = (velocity - Velocity().target(example.level, inputs["images"], inputs["noise"])) ** 2
    # Their error is of x_0, weighted; ours of the velocity, whose own standard deviation is 1.
    u = inputs.get("logvar", torch.zeros(1, 1, 1, 1))
    assert_modern(case, "loss", squared * (-u).exp() + u, expected["loss"])
    if "logvar" in inputs:
        diffusion.weighting = GivenUncertainty(u.flatten())
    terms = diffusion.loss(diffusion, Denoiser(lambda x, time: velocity, Velocity(), diffusion.variance), example)
    assert_modern(case, "mean", terms["loss"].mean(), expected["mean"])


def test_learned_uncertainty_is_least_where_it_is_the_logarithm_of_the_error():
    weighting = LearnedUncertainty()
    log_snr = torch.linspace(-8, 8, 50, dtype=torch.float64)
    assert torch.equal(weighting(log_snr), torch.ones(50)) and torch.equal(weighting.penalty(log_snr), torch.zeros(50))
    error = (0.1 + log_snr.sigmoid()).float()
    optimizer = torch.optim.LBFGS(weighting.parameters(), max_iter=200, tolerance_change=1e-12)

    def loss():
        optimizer.zero_grad()
        total = (error * weighting(log_snr) + weighting.penalty(log_snr)).mean()
        total.backward()
        return total

    optimizer.step(loss)
    assert torch.allclose(weighting.penalty(log_snr), error.log(), rtol=0, atol=0.05)
    assert weighting(torch.tensor([math.inf, -math.inf])).isfinite().all()


@pytest.mark.parametrize("case, inputs, expected", modern(22, "sd3"))
def test_logit_normal_times(case, inputs, expected):
    """Left out: `mode` and `cosmap`, of one package."""
    args, z = case["args"], tensors(inputs)["z"]
    law = LogitNormal(mean=args["logit_mean"], std=args["logit_std"])
    log_snr = law.log_snr(torch.special.ndtr(z))
    assert_modern(case, "logit_normal", (-log_snr / 2).sigmoid(), expected["logit_normal"])


@pytest.mark.parametrize("weighting", [P2Weighting, MinSNRWeighting])
@pytest.mark.parametrize("gamma", [0.0, -1.0, math.inf])
def test_a_weight_that_is_none(weighting, gamma):
    with pytest.raises(ValueError, match=r"^gamma=[^\n]*set diffusion\.weighting\.gamma=1$"):
        weighting(gamma=gamma)


@pytest.mark.parametrize("weighting", [P2Weighting(), SoftMinSNRWeighting(), SigmoidWeighting(), MinSNRWeighting()])
def test_a_weight_is_finite_at_both_ends(weighting):
    ends = torch.tensor([-math.inf, math.inf], dtype=torch.float64)
    assert weighting(ends).tolist() == [0.0, 0.0]


def test_soft_min_snr_is_as_published_in_each_space():
    level = Chain(Cosine().betas(50)).level(torch.arange(49))
    snr = level.log_snr.exp()
    for prediction, divisor in ((Start(), 1), (Epsilon(), snr), (Velocity(), snr + 1)):
        got = weights(SoftMinSNRWeighting(gamma=4.0), prediction, level)
        assert torch.allclose(got, 4 * snr / (snr + 4) / divisor, rtol=1e-9, atol=0)


def test_uncertainty_is_computed_in_float32_whatever_the_network_is():
    weighting, log_snr = LearnedUncertainty(), torch.linspace(-8, 8, 9, dtype=torch.float64)
    torch.nn.init.normal_(weighting.weight, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        u = weighting.penalty(log_snr)
    assert u.dtype == torch.float32 and torch.equal(u, weighting.penalty(log_snr))


@pytest.mark.parametrize("data_std", [1.0, 0.5])
def test_learned_uncertainty_weighs_an_error_and_is_paid_for_at_one_log_snr(data_std):
    path = VariancePreserving(data_std=data_std)
    diffusion = ContinuousDiffusion(
        schedule=EvenLogSNR(), path=path, prediction=Velocity(), loss=Simple(), weighting=LearnedUncertainty()
    )
    torch.nn.init.normal_(diffusion.weighting.weight, std=3.0)
    x_0, log_snr = torch.randn(6, 1, 2, 2), torch.linspace(-6.0, 6.0, 6, dtype=torch.float64)
    example = noised(diffusion.process, x_0, log_snr, torch.randn(6, 1, 2, 2))
    zero = Denoiser(lambda x, time: torch.zeros_like(x), Velocity(), diffusion.variance)
    terms = diffusion.loss(diffusion, zero, example)
    u = diffusion.weighting.penalty(log_snr + 2 * math.log(data_std))
    assert torch.allclose(terms["loss"], (-u).exp() * terms["mse"] + u, rtol=1e-5) and u.std() > 0.5
