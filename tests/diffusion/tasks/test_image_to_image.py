"""Images under noise, drawn back from there; and versions of images."""

import pytest
import torch
from toy_drawing import CHAIN, correlated, drawing

from diffusion import (
    DDIM,
    Ancestral,
    Chain,
    Continuum,
    DPMSolver,
    EvenSpacing,
    Heun,
    ImageToImage,
    Straight,
    StraightTime,
    UniPC,
    Vary,
    draw,
    trajectory,
)
from diffusion.tasks.image_to_image import levels_from

SHAPE, MEAN = (1, 2, 2), 0.2
FOUR = correlated(0.05 * torch.eye(4, dtype=torch.float64) + 0.05, MEAN)
GIVEN = torch.tensor([[0.9, -0.25], [1, -1]]).repeat(1, 1, 1, 1)


def drawn(task, sampler, numbers=range(3), **options):
    return draw(task.steps(drawing(sampler, numbers, SHAPE, FOUR, **options)))


@pytest.mark.parametrize("sampler", [DDIM(steps=20), DDIM(steps=20, eta=1.0), DPMSolver(steps=20), UniPC(steps=20)])
def test_from_pure_noise_it_is_plain_drawing_to_the_bit(sampler):
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    betas[-1] = 1  # alpha is 0 at the last step, so that nothing of the image is left
    process = Chain(betas)
    ask = drawing(sampler, range(3), SHAPE, FOUR, process=process)
    plain = draw(trajectory(sampler, process, ask.denoise_of(range(3)), ask.noise_of(range(3))))
    assert torch.equal(drawn(ImageToImage(images=GIVEN, strength=1), sampler, process=process), plain)


def test_at_any_strength_images_of_the_distribution_stay_in_it():
    """Of x_0 from p(x_0), x_t and what is drawn back from it are of p(x_t) and p(x_0) again."""
    covariance = 0.05 * torch.eye(4, dtype=torch.float64) + 0.05
    x_0 = MEAN + torch.randn(4000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) @ (
        torch.linalg.cholesky(covariance).T
    )
    task = ImageToImage(images=x_0.view(-1, 1, 2, 2), strength=0.6)
    x = drawn(task, DPMSolver(steps=40), range(4000), alike=True).flatten(1)
    assert x.mean(0).sub(MEAN).abs().max() < 0.02
    assert (x.T.cov() - covariance).abs().max() < 0.008  # of 0.1; its standard error is 0.002
    assert 0.01 < torch.corrcoef(torch.stack([x[:, 0] - MEAN, x_0[:, 0] - MEAN]))[0, 1] < 0.7


@pytest.mark.parametrize("kind", [ImageToImage, Vary])
def test_the_smaller_the_strength_the_nearer_the_image(kind):
    sampler = DDIM(steps=100, eta=1.0)
    far = [
        (drawn(kind(images=GIVEN, strength=s), sampler, range(200), alike=True) - GIVEN).pow(2).mean().sqrt().item()
        for s in (0.01, 0.1, 0.3, 0.6, 1.0)
    ]
    assert far == sorted(far) and far[0] < 0.03 and far[-1] > 0.5


def test_a_level_is_named_by_its_share_or_by_its_log_snr():
    sampler = DDIM(steps=50)
    assert len(levels_from(sampler, CHAIN, 1.0)) == 51 and len(levels_from(sampler, CHAIN, 1e-6)) == 2
    for strength in (0.3, 0.5, 0.9):
        assert levels_from(sampler, CHAIN, strength)[0].time.item() == pytest.approx(1000 * strength, abs=11)
    assert levels_from(sampler, CHAIN, 0.5, 2.0)[0].log_snr.item() == pytest.approx(2.0, abs=0.1)
    flow = Continuum(StraightTime(), Straight())
    assert levels_from(DDIM(steps=101), flow, 0.4)[0].sigma.item() == pytest.approx(0.4, abs=0.01)
    assert levels_from(DDIM(steps=101), flow, 0.4, 2.0)[0].log_snr.item() == pytest.approx(2.0, abs=0.05)


def test_versions_differ_and_are_nearer_to_the_image_than_those_under_fresh_noise():
    sampler = DDIM(steps=50, eta=1.0)
    varied, noised = (drawn(kind(images=GIVEN, strength=0.4), sampler, range(500), alike=True) for kind in (
        Vary, ImageToImage))  # fmt: skip
    assert 0.02 < varied.std(0).mean() < noised.std(0).mean()
    assert not torch.equal(varied[0], varied[1])


@pytest.mark.parametrize("sampler", [DDIM(), Heun(), UniPC(), DPMSolver()])
def test_versions_need_a_sampler_with_noise(sampler):
    with pytest.raises(ValueError, match=r"draws the same image each time; set sampler=ancestral, or sampler.eta=1"):
        Vary(images=GIVEN).check(sampler, CHAIN, SHAPE)
    Vary(images=GIVEN).check(Ancestral(), CHAIN, SHAPE)
    Vary(images=GIVEN).check(Heun(churn=5, spacing=EvenSpacing()), CHAIN, SHAPE)


@pytest.mark.parametrize("kind", [ImageToImage, Vary])
@pytest.mark.parametrize("strength", [0, -0.5, 1.01, float("nan")])
def test_a_strength_is_a_share(kind, strength):
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\], 1 being pure noise; set task.strength=0.5"):
        kind(images=GIVEN, strength=strength)


@pytest.mark.parametrize("task", [ImageToImage(images=GIVEN, strength=0.5), Vary(images=GIVEN, strength=0.5)])
def test_an_image_is_a_function_of_its_number_whatever_the_batch(task):
    sampler = DDIM(steps=10, eta=0.5)
    whole = drawn(task, sampler, [0, 1, 2, 3])
    parts = torch.cat([drawn(task, sampler, part) for part in ([0], [1, 2], [3])])
    assert torch.allclose(whole, parts, rtol=0, atol=1e-12) and not torch.equal(whole[0], whole[1])
