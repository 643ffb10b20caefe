"""Guidance by a classifier, where classifier and model are known in closed form."""

from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from toy_gaussian import Called

from diffusion import (
    DDIM,
    Ancestral,
    Classification,
    ContinuousDiffusion,
    Cosine,
    CosineLogSNR,
    Epsilon,
    FixedLarge,
    FixedSmall,
    GaussianDiffusion,
    Hybrid,
    LearnedRange,
    Linear,
    Simple,
    Straight,
    Trained,
    Velocity,
)
from diffusion.denoiser.denoiser import Denoised, Denoiser, clip
from diffusion.denoiser.guidance import Guidance
from diffusion.denoiser.guided_denoisers import by_classifier, log_probability
from diffusion.process.level import as_factor
from diffusion.samplers.sampler import draw, trajectory

MEAN, STD = 0.5, 0.4


class Classifier(NamedTuple):
    """A guide as a trained model is one."""

    denoiser: Denoiser
    name: str = "runs/judge"
    classes: tuple = ("dark", "light")


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
        self.denoiser = self.diffusion.denoiser(self.network)
        self.classifier = Classifier(self.diffusion.denoiser(self.logits))

    def place(self, time):
        level = self.diffusion.process.level(time)
        alpha, sigma = (values.view(-1, 1, 1, 1) for values in (level.alpha, level.sigma))
        return alpha, sigma, (alpha * STD) ** 2 + sigma**2

    def logits(self, x, time):
        """log p(y | x_t) up to a constant: x_t is N(-+ alpha MEAN, spread) in the classes."""
        alpha, _, spread = self.place(time)
        evidence = (alpha * MEAN * x / spread).sum((1, 2, 3))
        return torch.stack([-evidence, evidence], dim=1)

    def network(self, x, time):
        alpha, sigma, spread = self.place(time)
        light = self.logits(x, time).softmax(1)[:, 1].view(-1, 1, 1, 1)
        mean = (2 * light - 1) * MEAN
        x_0 = mean + alpha * STD**2 / spread * (x - alpha * mean)
        return (x - alpha * x_0) / sigma

    def images(self, sampler, scale: float, y: int, *, count: int = 4000, keep=None):
        chance = torch.Generator().manual_seed(0)
        noise = lambda: torch.randn(count, 1, 1, 1, generator=chance, dtype=torch.float64)  # noqa: E731
        guidance = Guidance(classifier=self.classifier, scale=scale)
        denoise = guidance(self.denoiser, {"y": torch.full((count,), y)}, keep)
        return draw(trajectory(sampler, self.diffusion.process, denoise, noise))


@pytest.mark.parametrize("sampler", [Ancestral(), DDIM()])
@pytest.mark.parametrize("y", [0, 1])
def test_at_scale_1_an_exact_classifier_leads_to_the_images_of_its_class(sampler, y):
    x = TwoGaussians(steps=200).images(sampler, 1.0, y)
    # 4,000 draws leave errors of 0.006 and 0.005; steps of finite length and the last one's missing noise the rest.
    assert x.mean().item() == pytest.approx((2 * y - 1) * MEAN, abs=0.03)
    assert x.std().item() == pytest.approx(STD, abs=0.03)


@pytest.mark.parametrize("sampler", [Ancestral(), DDIM()])
def test_the_share_that_shows_the_class_rises_with_the_scale(sampler):
    toy = TwoGaussians(steps=50)
    shares = [(toy.images(sampler, s, 1, count=1000, keep=clip) > 0).double().mean().item() for s in (0, 0.5, 1, 3)]
    assert shares[0] == pytest.approx(0.5, abs=0.08)
    assert all(more > less + 0.03 for less, more in pairwise(shares))


@pytest.fixture
def guided():
    """x_t and a move of three images, the denoiser with and without guidance, and 2.5 times the exact gradient."""
    toy, y = TwoGaussians(steps=10), torch.tensor([0, 1, 1])
    x = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64).view(3, 1, 1, 1)
    move = toy.diffusion.process.move(torch.tensor([2, 5, 8]))
    alpha, _, spread = toy.place(torch.tensor([2, 5, 8]))
    wrong = 1 - toy.logits(x, torch.tensor([2, 5, 8])).softmax(1).gather(1, y[:, None]).view(3, 1, 1, 1)
    gradient = 2.5 * wrong * (2 * y - 1).view(3, 1, 1, 1) * 2 * alpha * MEAN / spread
    denoise = by_classifier(toy.denoiser, log_probability(toy.classifier.denoiser, y), 2.5)
    return x, move, toy.denoiser, denoise, gradient


def test_what_is_drawn_from_moves_by_the_variance_times_the_gradient(guided):
    # Algorithm 1; the logits are float32 in the classifier's softmax.
    x, move, free, denoise, gradient = guided
    with torch.no_grad():
        moved, mean = denoise(x, move.here).reverse(move).mean, free(x, move.here).reverse(move).mean
    assert torch.allclose(moved - mean, as_factor(move.variance, x) * gradient, rtol=1e-5, atol=0)
    assert not x.requires_grad and not moved.requires_grad


def test_what_is_walked_by_moves_eps_by_minus_sigma_times_the_gradient(guided):
    # Algorithm 2.
    x, move, free, denoise, gradient = guided
    before, after = (move.here.eps(x, one(x, move.here).x_0) for one in (free, denoise))
    assert torch.allclose(after - before, -as_factor(move.here.sigma, x) * gradient, rtol=1e-5, atol=1e-12)


def test_pure_noise_is_not_guided():
    x, noise = torch.randn(1, 1, 2, 2), TwoGaussians(steps=10).diffusion.process.pure_noise()
    denoise = by_classifier(lambda x, level: Denoised(x, None), lambda x, level: x.sum((1, 2, 3)))
    assert torch.equal(denoise(x, noise).x_0, x)


def test_clip_guided_keeps_a_classifiers_error_near_pure_noise_within_the_range_of_pixels():
    toy, x, y = TwoGaussians(steps=1000), torch.zeros(1, 1, 2, 2), {"y": torch.tensor([1])}
    level = toy.diffusion.process.level(torch.tensor([999]))
    # Its gradient is 0.01 everywhere, where an exact one would be 1e-5.
    logits = lambda x, time: torch.stack([-x.sum((1, 2, 3)), x.sum((1, 2, 3))], dim=1) * 0.01  # noqa: E731
    classifier = Classifier(toy.diffusion.denoiser(logits))

    def x_0(keep, **options):
        guidance = Guidance(classifier=classifier, **options)
        return guidance(toy.denoiser, y, keep)(x, level).x_0.abs().max()

    assert x_0(clip, clip_guided=False) > 100 and x_0(None) > 100 and x_0(clip) == 1


def test_without_a_classifier_nothing_is_guided_or_named():
    toy, x = TwoGaussians(steps=10), torch.zeros(1, 1, 2, 2)
    level = toy.diffusion.process.level(torch.tensor([5]))
    assert torch.equal(Guidance()(toy.denoiser, {}, None)(x, level).x_0, toy.denoiser(x, level).x_0)
    assert Guidance().name == "" and Guidance().guides == []
    guidance = Guidance(classifier=toy.classifier, scale=2.5)
    assert guidance.name == "guided_runs/judge_2.5" and guidance.guides == [toy.classifier]
    network = Called(lambda x, time: x)
    for classes, reason in ((None, "knows no classes"), (["a"], "learned from images that all had their label")):
        with pytest.raises(ValueError, match=rf"^the model {reason}, so guidance\.scale=2\.5 [^\n]*label_dropout=0\.1"):
            Guidance(scale=2.5).check(trained(network=network, classes=classes))


def trained(**changes) -> Trained:
    process = dict(steps=100, schedule=Cosine(), prediction=Epsilon(), variance=FixedLarge(), loss=Simple())
    process |= {name: changes.pop(name) for name in list(changes) if name in (*process, "rescale_times")}
    model = Trained(
        network=torch.nn.Identity(), diffusion=GaussianDiffusion(**process), shape=(1, 8, 8), classes=["a", "b"],
        config={}, step=1, weights="raw", device=torch.device("cpu"),
    )  # fmt: skip
    return model._replace(**changes)


def continuous(loss) -> ContinuousDiffusion:
    return ContinuousDiffusion(schedule=CosineLogSNR(), path=Straight(), prediction=Velocity(), loss=loss)


def test_a_classifier_of_the_same_images_and_times_guides():
    judge = Guidance(classifier=trained(loss=Classification()))
    for model in (trained(), trained(classes=None), trained(variance=LearnedRange(), loss=Hybrid())):
        judge.check(model)
    Guidance().check(trained(shape=(3, 4, 4)))
    judge = Guidance(classifier=trained(diffusion=continuous(Classification())))
    judge.check(trained(diffusion=continuous(Simple())))
    with pytest.raises(ValueError, match=r"told other times than the model \(50 steps, 0 to 1000, not 100, 0 to 990\)"):
        judge.check(trained())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": Simple()}, "runs/c holds no classifier"),
        ({"shape": (1, 16, 16)}, "classifier runs/c knows images of 1x16x16, the model draws 1x8x8"),
        ({"shape": (3, 8, 8)}, "knows images of 3x8x8, the model draws 1x8x8"),
        ({"classes": ["a", "c"]}, r"knows other classes than the model"),
        ({"steps": 200}, r"told other times than the model \(200 steps, 0 to 995, not 100, 0 to 990\)"),
        ({"rescale_times": False}, r"\(100 steps, 0 to 99, not 100, 0 to 990\)"),
        ({"schedule": Linear()}, r"train one with the model's diffusion\.schedule"),
    ],
)
def test_another_does_not(changes, message):
    judge = Guidance(classifier=trained(**{"loss": Classification(), "name": "runs/c", **changes}))
    with pytest.raises(ValueError, match=message):
        judge.check(trained())


def test_clip_guided_is_refused_without_the_classifier_whose_gradient_it_clips():
    with pytest.raises(ValueError, match=r"set guidance\.classifier=runs/NAME"):
        Guidance(scale=2.0, clip_guided=False)
