"""What all samplers have in common, on ReverseGaussian data whose exact denoiser is known."""

import pytest
import torch
from toy_gaussian import ToyGaussian

from diffusion import DDIM, Ancestral, Chain, Cosine, Epsilon, FixedSmall, GaussianDiffusion, Hybrid, LearnedRange
from diffusion.denoiser.denoiser import ReverseGaussian, clip, transformed
from diffusion.denoiser.guided_denoisers import by_classifier
from diffusion.process.continuum import Continuum, Straight, VariancePreserving
from diffusion.process.level import Move
from diffusion.process.log_snr import CosineLogSNR, StraightTime
from diffusion.samplers.sampler import Sampler, draw, trajectory

TOY = ToyGaussian(mean=0.3, std=0.4, steps=25)
PROCESSES = {
    "chain": TOY.process,
    "preserving": Continuum(CosineLogSNR(), VariancePreserving()),
    "straight": Continuum(StraightTime(), Straight()),
}
everywhere = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
whatever = pytest.mark.parametrize(
    "kind", [Ancestral, DDIM, lambda **options: DDIM(eta=0.7, **options)], ids=["ancestral", "ddim", "eta_0.7"]
)


def one_by_one(count: int):
    """Noise of a batch of `count` images, the n-th of which hears the n-th noise alone; the last one hears none."""
    drawn = iter(torch.eye(count, dtype=torch.float64).view(count, count, 1, 1, 1))
    return lambda: next(drawn)


@everywhere
def test_ancestral_with_the_exact_denoiser_draws_the_data(process):
    # Every step is affine in x and noise, so variances add up over the noises: nothing is drawn by chance.
    sampler = Ancestral(steps=25)
    x = draw(trajectory(sampler, process, TOY.denoise, one_by_one(27))).flatten()
    variance = ((x[:-1] - x[-1]) ** 2).sum()
    # The last step takes the mean, so exactly its variance is missing.
    *_, near, image = sampler.levels(process)
    variance += TOY.variance(Move(near, image)).item()
    # Begun at N(0, 1) where the process ends 1e-3 of an image short of it.
    assert x[-1].item() == pytest.approx(0.3, abs=1e-4)
    assert variance.item() == pytest.approx(0.4**2, abs=1e-4)


@everywhere
@whatever
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_walk_of_any_length_is_finite_and_ends_at_the_expected_image(process, kind, steps):
    x = torch.randn(steps + 2, 2, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = iter(x)
    walked = list(trajectory(kind(steps=steps), process, TOY.denoise, lambda: next(noise)))
    assert len(walked) == steps and all(part.isfinite().all() for step in walked for part in step)
    assert torch.equal(walked[-1].x, walked[-1].x_0)
    first = process.walk(process.evenly(steps))[0]
    assert torch.equal(walked[0].x_0, TOY.x_0(first.std * x[0], first))  # from the noisiest level, even in one step
    assert first.alpha < 0.02


@whatever
@pytest.mark.parametrize("steps", [None, 1, 2])
def test_a_chain_of_two_steps_is_walked_whatever_the_network_says_of_variance_and_class(kind, steps):
    diffusion = GaussianDiffusion(
        steps=2, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid()
    )
    denoise = diffusion.denoiser(lambda x, time: torch.cat([x, torch.full_like(x, 3.0)], dim=1))
    guided = by_classifier(transformed(denoise, clip), lambda x, level: x.flatten(1).sum(1))
    steps = trajectory(kind(steps=steps), diffusion.process, guided, lambda: torch.ones(1, 1, 2, 2))
    assert draw(steps).isfinite().all()


@everywhere
def test_ddim_with_eta_1_is_ancestral_with_the_small_variance(process):
    small = lambda x, level: TOY.denoise(x, level)._replace(gaussian=posterior(x))  # noqa: E731
    for change in (lambda x_0: x_0, clip):
        images = []
        for sampler in (Ancestral(steps=25), DDIM(steps=25, eta=1.0)):
            chance = torch.Generator().manual_seed(0)
            noise = lambda: torch.randn(4, 1, 2, 2, dtype=torch.float64, generator=chance)  # noqa: B023, E731
            images.append(draw(trajectory(sampler, process, transformed(small, change), noise)))
        # float64 that divides by the noise of the last levels and the signal of the first, 1e-3 here
        assert torch.allclose(*images, rtol=1e-7, atol=1e-9)


def posterior(x):
    """p(x_s | x_t) with the variance of q(x_s | x_t, x_0)."""
    variance = FixedSmall()
    return lambda move, x_0: ReverseGaussian(
        move.mean(x, x_0), variance.variance(move, x, x), variance.log_variance(move, x, x)
    )


def test_noise_is_asked_for_once_by_ddim_and_at_every_step_by_ancestral():
    asked = []

    def noise():
        asked.append(1)
        return torch.zeros(1, 1, 2, 2)

    draw(trajectory(DDIM(steps=5), TOY.process, TOY.denoise, noise))
    assert len(asked) == 1
    draw(trajectory(Ancestral(steps=5), TOY.process, TOY.denoise, noise))
    assert len(asked) == 1 + 1 + 5


def test_the_first_noise_has_the_standard_deviation_of_its_level():
    # On a straight path of which a half is left, x_T is neither pure noise nor of variance 1.
    process, seen = Continuum(StraightTime(bottom=0.0), Straight()), []

    def denoise(x, level):
        seen.append(x)
        return TOY.denoise(x, level)

    next(trajectory(DDIM(steps=2), process, denoise, lambda: torch.ones(1, 1, 1, 1, dtype=torch.float64)))
    assert seen[0].item() == pytest.approx(0.5**0.5, rel=1e-9)


def test_guidance_by_a_likelihood_draws_from_the_posterior():
    # p(x_0) N(seen; x_0, 1), small steps: guided by the exact log p(seen | x_t), the mean is Bayes'.
    toy, seen = ToyGaussian(mean=0.0, std=0.4, steps=2000), 1.0

    def log_p(x, level):
        x_0, left = toy.x_0(x, level), toy.std**2 * level.sigma**2 / toy.spread(level)
        return (-0.5 * (seen - x_0) ** 2 / (1 + left)).flatten(1).sum(1)

    silence = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    denoise = by_classifier(toy.denoise, log_p)
    x = draw(trajectory(Ancestral(), toy.process, denoise, lambda: silence))
    # Guidance is exact for infinitely many steps.
    assert x.item() == pytest.approx(seen * toy.std**2 / (1 + toy.std**2), rel=0.01)


@everywhere
@whatever
def test_images_are_drawn_where_the_noise_is(process, kind):
    # The meta device takes nothing from the CPU unasked, as a GPU.
    guided = by_classifier(transformed(TOY.denoise, clip), lambda x, level: x.flatten(1).sum(1))
    assert draw(trajectory(kind(steps=3), process, guided, lambda: torch.zeros(2, 1, 4, 4, device="meta"))).is_meta


class Idle(Sampler):
    def walk(self, denoise, levels, x, noise):
        yield from ()


def test_a_sampler_that_yields_nothing_is_told_so():
    steps = trajectory(Idle(), TOY.process, TOY.denoise, lambda: torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"^the sampler yields no step; its walk must yield Step\(x, x_0\)[^\n]*$"):
        draw(steps)


def test_a_sampler_whose_constructor_keeps_nothing_has_no_settings_but_its_own():
    class Mine(Idle):
        def __init__(self, *, strength: float = 2.0) -> None:
            super().__init__()
            self.strength = strength

    assert Mine().settings == {"strength": 2.0}
    assert DDIM(steps=5, eta=0.5).settings == {"steps": 5, "spacing": "", "clip": True, "eta": 0.5}


def test_times_are_those_of_the_whole_chain_however_few_are_walked():
    heard = []

    def denoise(x, level):
        heard.append(level.time.item())
        return TOY.denoise(x, level)

    draw(trajectory(Ancestral(steps=4), Chain(Cosine().betas(10)), denoise, lambda: torch.zeros(1, 1, 2, 2)))
    assert heard == [9, 6, 3, 0]
