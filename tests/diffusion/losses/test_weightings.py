"""How much an error counts at each level."""

import math

import pytest
import torch

from diffusion import Chain, Cosine, Epsilon, FixedLarge, GaussianDiffusion, Simple, Start, Velocity
from diffusion.denoiser.diffusion import ContinuousDiffusion
from diffusion.denoiser.predictions import Flow
from diffusion.losses.losses import VLB, Classification, noised, weights
from diffusion.losses.weightings import ConstantWeighting, MinSNRWeighting, SigmoidWeighting
from diffusion.process.continuum import Straight, VariancePreserving
from diffusion.process.log_snr import EvenLogSNR

weighted = pytest.mark.parametrize(
    "weighting", [ConstantWeighting(), MinSNRWeighting(), SigmoidWeighting()], ids=lambda w: type(w).__name__
)
CHAIN = Chain(Cosine().betas(50))
SPACES = [Epsilon(), Start(), Velocity(), Flow()]


def chain(prediction, weighting) -> GaussianDiffusion:
    return GaussianDiffusion(
        steps=50, schedule=Cosine(), prediction=prediction, variance=FixedLarge(), loss=Simple(), weighting=weighting
    )


def continuous(path):
    ends = {"top": 8.0, "bottom": -8.0}
    return lambda prediction, weighting: ContinuousDiffusion(
        schedule=EvenLogSNR(**ends), path=path, prediction=prediction, loss=Simple(), weighting=weighting
    )


KINDS = {"chain": chain, "preserving": continuous(VariancePreserving()), "straight": continuous(Straight())}


def loss_of(diffusion):
    """Of a network that takes another image for the one in x_t, in float64, at 50 levels."""
    x_0, eps, other = torch.randn(3, 50, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = diffusion.process.evenly(50)
    example = noised(diffusion.process, x_0, t, eps)
    output = diffusion.prediction.target(example.level, other, example.level.eps(example.x_t, other))
    return diffusion.loss(diffusion, diffusion.denoiser(lambda x, time: output), example), x_0, other, example


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "weighting", [ConstantWeighting(), MinSNRWeighting(), SigmoidWeighting()], ids=lambda w: type(w).__name__
)
def test_a_weighted_loss_is_the_same_in_every_space(kind, weighting):
    losses = [loss_of(KINDS[kind](prediction, weighting))[0]["loss"] for prediction in SPACES]
    # The chain ends at 1e3 times more noise than image, whose digits an error of eps loses.
    assert all(torch.allclose(loss, losses[2], rtol=1e-6, atol=0) for loss in losses)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_is_the_plain_error_of_v(kind):
    plain, weighted = (loss_of(KINDS[kind](Velocity(), weighting))[0] for weighting in (None, ConstantWeighting()))
    assert torch.allclose(weighted["loss"], plain["loss"], rtol=1e-12, atol=0)
    assert torch.equal(weighted["mse"], plain["mse"])


@pytest.mark.parametrize("kind", ["chain", "preserving"])
def test_min_snr_is_as_published_in_each_space(kind):
    # Hang et al. 2023: min(SNR, 5) times the error of x_0; divided by SNR for eps, by SNR + 1 for v.
    terms, x_0, other, example = loss_of(KINDS[kind](Start(), MinSNRWeighting(gamma=5.0)))
    snr = (example.level.alpha / example.level.sigma) ** 2
    assert torch.allclose(terms["loss"], snr.clamp(max=5) * ((x_0 - other) ** 2).mean((1, 2, 3)), rtol=1e-9, atol=0)
    for prediction, divisor in ((Epsilon(), snr), (Velocity(), snr + 1)):
        found = weights(MinSNRWeighting(gamma=5.0), prediction, example.level)
        assert torch.allclose(found, snr.clamp(max=5) / divisor, rtol=1e-9, atol=0)


def test_sigmoid_is_as_published_for_eps_and_a_soft_min_snr():
    # Kingma & Gao 2023: sigmoid(b - log-SNR) times the error of eps.
    level = CHAIN.level(torch.arange(50))
    soft = weights(SigmoidWeighting(bias=2.0), Epsilon(), level)
    assert torch.allclose(soft, (2.0 - level.log_snr).sigmoid(), rtol=1e-9, atol=0)
    share = SigmoidWeighting(bias=math.log(5))(level.log_snr) / MinSNRWeighting(gamma=5)(level.log_snr)
    assert (share <= 1 + 1e-9).all() and (share >= 0.5 - 1e-9).all()


@pytest.mark.parametrize(
    "weighting", [ConstantWeighting(), MinSNRWeighting(), SigmoidWeighting()], ids=lambda w: type(w).__name__
)
def test_a_weight_of_v_is_finite_at_both_ends(weighting):
    assert weighting(torch.tensor([math.inf, -math.inf], dtype=torch.float64)).isfinite().all()


class ZeroTerminal:
    """The cosine schedule whose last step leaves nothing of the image."""

    def betas(self, steps):
        return torch.cat([Cosine().betas(steps)[:-1], torch.ones(1, dtype=torch.float64)])


def test_eps_says_nothing_at_zero_snr_and_is_refused():
    def diffusion(prediction, weighting):
        return GaussianDiffusion(
            steps=50, schedule=ZeroTerminal(), prediction=prediction, variance=FixedLarge(), loss=Simple(),
            weighting=weighting,
        )  # fmt: skip

    for weighting in (MinSNRWeighting(), None):
        with pytest.raises(ValueError, match=r"^Epsilon says nothing of the image [^\n]*=velocity$"):
            diffusion(Epsilon(), weighting)
    assert loss_of(diffusion(Velocity(), MinSNRWeighting()))[0]["loss"].isfinite().all()


def test_losses_that_weigh_for_themselves_take_no_weighting():
    for loss, message in ((VLB(), "the bound weighs every level itself"), (Classification(), "knows no weighting")):
        with pytest.raises(ValueError, match=message):
            GaussianDiffusion(
                steps=50,
                schedule=Cosine(),
                prediction=Epsilon(),
                variance=FixedLarge(),
                loss=loss,
                weighting=MinSNRWeighting(),
            )
    with pytest.raises(ValueError, match="gamma=0 must be a positive number"):
        MinSNRWeighting(gamma=0)
