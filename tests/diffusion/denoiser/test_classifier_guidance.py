"""Guidance by a classifier, where classifier and model are known in closed form."""

from itertools import pairwise

import pytest
import torch
from diffusion.denoiser.classifier_guidance import ClassifierGuidance

from diffusion import DDIM, Ancestral, Cosine, Epsilon, FixedSmall, GaussianDiffusion, Simple

MEAN, STD = 0.5, 0.4


class TwoGaussians:
    """x_0 ~ N(-MEAN, STD^2) in class 0, N(MEAN, STD^2) in class 1, each as often: an exact model without classes."""

    def __init__(self, steps: int) -> None:
        self.diffusion = GaussianDiffusion(
            steps=steps,
            schedule=Cosine(),
            prediction=Epsilon(),
            variance=FixedSmall(),
            loss=Simple(),
            rescale_times=False,
        )

    def place(self, time):
        alpha_bar = self.diffusion.process.alpha_bar.values[time].view(-1, 1, 1, 1)
        return alpha_bar.sqrt(), 1 - alpha_bar, alpha_bar * STD**2 + 1 - alpha_bar

    def classifier(self, x_t, time):
        """log p(y | x_t) up to a constant: x_t is N(-+ signal MEAN, spread) in the classes."""
        signal, _, spread = self.place(time)
        evidence = (signal * MEAN * x_t / spread).sum((1, 2, 3))
        return torch.stack([-evidence, evidence], dim=1)

    def network(self, x_t, time):
        signal, noise, spread = self.place(time)
        light = self.classifier(x_t, time).softmax(1)[:, 1].view(-1, 1, 1, 1)
        mean = (2 * light - 1) * MEAN
        denoised = mean + signal * STD**2 / spread * (x_t - signal * mean)
        return (x_t - signal * denoised) / noise.sqrt()

    def images(self, sampler, scale: float, y: int, count: int = 4000):
        guide = ClassifierGuidance(self.classifier, classes=["dark", "light"], scale=scale)
        chance = torch.Generator().manual_seed(0)
        noise = lambda: torch.randn(count, 1, 1, 1, generator=chance, dtype=torch.float64)  # noqa: E731
        guidance = guide.towards(torch.full((count,), y))
        return sampler.sample(self.diffusion, self.network, noise, guidance=guidance)


@pytest.mark.parametrize("sampler", [Ancestral(clip=False), DDIM(clip=False)])
@pytest.mark.parametrize("y", [0, 1])
def test_at_scale_1_an_exact_classifier_leads_to_the_images_of_its_class(sampler, y):
    x = TwoGaussians(steps=200).images(sampler, 1.0, y)
    # 4,000 draws leave errors of 0.006 and 0.005; steps of finite length and the last one's missing noise the rest.
    assert x.mean().item() == pytest.approx((2 * y - 1) * MEAN, abs=0.03)
    assert x.std().item() == pytest.approx(STD, abs=0.03)


@pytest.mark.parametrize("sampler", [Ancestral(), DDIM(), DDIM(clip_guided=True)])
def test_the_share_that_shows_the_class_rises_with_the_scale(sampler):
    shares = [(TwoGaussians(steps=50).images(sampler, s, 1, 1000) > 0).double().mean().item() for s in (0, 0.5, 1, 3)]
    assert shares[0] == pytest.approx(0.5, abs=0.08)
    assert all(more > less + 0.03 for less, more in pairwise(shares))


def test_the_gradient_is_that_of_the_log_probability_of_each_images_own_class():
    toy, y = TwoGaussians(steps=10), torch.tensor([0, 1, 1])
    x_t, time = torch.tensor([0.3, -0.2, 0.9]).view(3, 1, 1, 1), torch.tensor([2, 5, 8])
    signal, _, spread = toy.place(time)
    wrong = 1 - toy.classifier(x_t, time).softmax(1).gather(1, y[:, None]).view(3, 1, 1, 1)
    expected = 2.5 * wrong * (2 * y - 1).view(3, 1, 1, 1) * 2 * signal * MEAN / spread
    guide = ClassifierGuidance(toy.classifier, classes=["dark", "light"], scale=2.5)
    with torch.no_grad():
        found = guide.towards(y)(x_t, time)
    assert torch.allclose(found.double(), expected, rtol=1e-5) and not x_t.requires_grad and not found.requires_grad


def test_clip_guided_keeps_a_classifiers_error_at_pure_noise_within_the_range_of_pixels():
    toy = TwoGaussians(steps=1000)
    x_t, t = torch.zeros(1, 1, 2, 2), torch.tensor([999])

    def x_0(**options):
        guidance = lambda x, time: torch.full_like(x, 0.01)  # noqa: E731 (an exact one would be 1e-5)
        output = torch.zeros_like(x_t)
        return DDIM(**options).step(toy.diffusion, output, x_t, t, torch.zeros, guidance=guidance).x_0.abs().max()

    assert x_0() > 100 and x_0(clip_guided=True) == 1
