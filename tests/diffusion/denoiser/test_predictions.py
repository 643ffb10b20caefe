"""What a network may predict: each is a way to name x_0."""

import pytest
import torch

from diffusion import Cosine, Epsilon, ForwardProcess, Previous, Start, Velocity

STEPS = 50


@pytest.fixture
def process():
    return ForwardProcess(Cosine().betas(STEPS))


@pytest.fixture
def images():
    """x_0 and eps in float64, (T, 3, 2, 2), one for each t."""
    return torch.randn(2, STEPS, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prediction", [Epsilon(), Start(), Velocity(), Previous()], ids=lambda p: type(p).__name__)
def test_the_target_leads_back_to_x_0_and_to_the_mean_of_the_posterior(process, images, prediction):
    (x_0, eps), t = images, torch.arange(STEPS)
    x_t = process.sample(x_0, t, eps)
    target = prediction.target(process, x_0, x_t, eps, t)
    implied = prediction.x_0(process, target, x_t, t)
    # float64, less the digits that the last step costs, where x_t is 1e3 times more noise than image
    assert torch.allclose(implied, x_0, rtol=0, atol=1e-8)
    mean = prediction.mean(process, target, implied, x_t, t)
    assert torch.allclose(mean, process.posterior_mean(x_0, x_t, t), rtol=0, atol=1e-8)


def test_velocity_is_the_derivative_of_x_t_along_its_angle(process, images):
    # x = cos(angle) x_0 + sin(angle) eps (Salimans & Ho 2022). A central difference errs by its step squared.
    (x_0, eps), t = images, torch.arange(STEPS)
    angle = torch.atan2(process.noise.values, process.signal.values).view(-1, 1, 1, 1)
    ahead, behind = (torch.cos(angle + d) * x_0 + torch.sin(angle + d) * eps for d in (1e-5, -1e-5))
    v = Velocity().target(process, x_0, process.sample(x_0, t, eps), eps, t)
    assert torch.allclose((ahead - behind) / 2e-5, v, rtol=0, atol=1e-8)


def test_only_previous_keeps_its_mean_when_x_0_is_clipped(process, images):
    (x_0, eps), t = 3 * images, torch.arange(STEPS)
    x_t = process.sample(x_0, t, eps)
    for prediction, keeps in ((Previous(), True), (Epsilon(), False)):
        target = prediction.target(process, x_0, x_t, eps, t)
        clipped = prediction.mean(process, target, x_0.clamp(-1, 1), x_t, t)
        assert torch.equal(clipped, target) == keeps
