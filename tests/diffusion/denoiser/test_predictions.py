"""What a network may predict: each is a way to name x_0."""

import pytest
import torch

from diffusion import Chain, Cosine, Epsilon, Previous, Start, Velocity
from diffusion.denoiser.predictions import Flow
from diffusion.process.continuum import Continuum, Straight, VariancePreserving
from diffusion.process.level import as_factor
from diffusion.process.log_snr import EvenLogSNR

CHAIN = Chain(Cosine().betas(50))
T = torch.arange(50)
LOG_SNR = torch.linspace(-6, 6, 50, dtype=torch.float64)
LEVELS = {
    "chain": CHAIN.level(T),
    "variance_preserving": Continuum(EvenLogSNR(), VariancePreserving()).level(LOG_SNR),
    "straight": Continuum(EvenLogSNR(), Straight()).level(LOG_SNR),
}
everywhere = pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
whatever = pytest.mark.parametrize(
    "prediction", [Epsilon(), Start(), Velocity(), Flow()], ids=lambda prediction: type(prediction).__name__
)


@pytest.fixture
def images():
    """x_0 and eps in float64, (50, 3, 2, 2), one for each level."""
    return torch.randn(2, 50, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@everywhere
@whatever
def test_the_pair_says_what_the_target_is_and_both_images_follow_from_it(level, prediction, images):
    (x_0, eps), (p, q) = images, prediction.pair(level)
    x, target, det = level.x(x_0, eps), prediction.target(level, x_0, eps), prediction.det(level)
    assert torch.allclose(target, as_factor(p, x) * x_0 + as_factor(q, x) * eps, rtol=0, atol=1e-12)
    # The last step of the chain is 1e3 times more noise than image, which costs eps and x_0 digits.
    assert torch.allclose(prediction.x_0(level, target, x), x_0, rtol=0, atol=1e-9)
    implied = (as_factor(level.alpha, x) * target - as_factor(p, x) * x) / as_factor(det, x)
    assert torch.allclose(implied, eps, rtol=0, atol=1e-9)


@everywhere
def test_det_is_alpha_for_eps_minus_sigma_for_x_0_and_the_std_for_v(level):
    assert torch.equal(Epsilon().det(level), level.alpha)
    assert torch.equal(Start().det(level), -level.sigma)
    assert torch.allclose(Velocity().det(level), level.std, rtol=1e-12, atol=0)
    assert torch.allclose(Flow().det(level), level.alpha + level.sigma, rtol=1e-12, atol=0)


def test_the_previous_image_leads_back_to_x_0_and_is_the_mean_of_the_posterior(images):
    (x_0, eps), level, prediction = images, LEVELS["chain"], Previous()
    x, (p, q) = level.x(x_0, eps), prediction.pair(level)
    target = prediction.target(level, x_0, eps)
    assert torch.equal(target, CHAIN.move(T).mean(x, x_0)) and torch.equal(prediction.mean(target), target)
    assert torch.allclose(target, as_factor(p, x) * x_0 + as_factor(q, x) * eps, rtol=0, atol=1e-12)
    assert torch.allclose(prediction.x_0(level, target, x), x_0, rtol=0, atol=1e-8)
    assert all(other.mean(target) is None for other in (Epsilon(), Start(), Velocity(), Flow()))


def test_a_process_without_steps_has_no_previous_image(images):
    with pytest.raises(ValueError, match="this level is none; set sampler/spacing=even, or"):
        Previous().target(LEVELS["straight"], *images)


@pytest.mark.parametrize("name", ["chain", "variance_preserving"])
def test_velocity_is_the_derivative_of_x_t_along_its_angle(name, images):
    # x = cos(angle) x_0 + sin(angle) eps (Salimans & Ho 2022). A central difference errs by its step squared.
    (x_0, eps), level = images, LEVELS[name]
    angle = torch.atan2(level.sigma, level.alpha).view(-1, 1, 1, 1)
    ahead, behind = (torch.cos(angle + d) * x_0 + torch.sin(angle + d) * eps for d in (1e-5, -1e-5))
    assert torch.allclose((ahead - behind) / 2e-5, Velocity().target(level, x_0, eps), rtol=0, atol=1e-8)


def test_flow_is_the_derivative_of_x_t_along_sigma_of_the_straight_path(images):
    (x_0, eps), level = images, LEVELS["straight"]
    ahead, behind = (as_factor(1 - s, x_0) * x_0 + as_factor(s, x_0) * eps for s in (level.sigma + 1, level.sigma - 1))
    assert torch.allclose((ahead - behind) / 2, Flow().target(level, x_0, eps), rtol=0, atol=1e-12)


def test_all_but_eps_name_the_image_in_pure_noise(images):
    x_0, eps = (part[:1] for part in images)
    level = CHAIN.pure_noise()
    for prediction in (Start(), Velocity(), Flow()):
        found = prediction.x_0(level, prediction.target(level, x_0, eps), level.x(x_0, eps))
        assert torch.allclose(found, x_0, rtol=0, atol=1e-12)
    assert Epsilon().det(level) == 0
