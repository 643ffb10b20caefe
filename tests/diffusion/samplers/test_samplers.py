"""Samplers, on Gaussian data whose exact denoiser is known."""

import pytest
import torch
from diffusion.samplers.draw import draw
from toy_gaussian import ToyGaussian

from diffusion import DDIM, VLB, Ancestral, Cosine, Epsilon, FixedSmall, GaussianDiffusion, Simple
from diffusion.compute.randomness import generator


def affine(toy: ToyGaussian, sampler, t: int) -> tuple[float, float, float]:
    """The step at t is gain * x_t + shift + spread * noise: read off four values, no chance in it."""
    x_t = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).view(3, 1, 1, 1)
    noise = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).view(3, 1, 1, 1)
    at = torch.full((3,), t)
    step = sampler.step(toy.diffusion, toy.network(x_t, at), x_t, at, lambda: noise)
    shift, gain, spread = step.x_t.flatten().tolist()
    return gain - shift, shift, spread - shift


def test_ancestral_with_the_exact_denoiser_draws_the_data():
    toy = ToyGaussian(mean=0.3, std=0.4, steps=25)
    mean, variance = 0.0, 1.0
    for t in reversed(range(25)):
        gain, shift, spread = affine(toy, Ancestral(clip=False), t)
        mean, variance = gain * mean + shift, gain**2 * variance + spread**2
    # The last step takes the mean, so exactly its variance is missing.
    variance += toy.log_variance(torch.tensor([0])).exp().item()
    # Begun at N(0, 1) where the process ends 1e-3 of an image short of it.
    assert mean == pytest.approx(0.3, abs=1e-4)
    assert variance == pytest.approx(0.4**2, abs=1e-4)


def test_ddim_with_the_exact_denoiser_draws_the_data_as_steps_grow():
    def error(steps):
        toy, std = ToyGaussian(mean=0.3, std=0.4, steps=steps), 1.0
        for t in reversed(range(steps)):
            std *= affine(toy, DDIM(clip=False), t)[0]
        return abs(std - 0.4)

    # A first-order method on a smooth path: four times the steps, about a quarter of the error.
    assert error(800) < 0.3 * error(200) and error(800) < 0.004


def test_ddim_with_eta_1_is_ancestral_with_the_small_variance():
    diffusion = GaussianDiffusion(steps=25, schedule=Cosine(), prediction=Epsilon(), variance=FixedSmall(), loss=VLB())
    output, x_t, noise = torch.randn(3, 25, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.arange(25)
    for clip in (False, True):
        ddim, ancestral = (
            sampler.step(diffusion, output, x_t, t, lambda: noise).x_t
            for sampler in (DDIM(clip=clip, eta=1), Ancestral(clip=clip))
        )
        # float64 that divides by the noise of the first steps and the signal of the last, 1e-2 and 1e-3 here
        assert torch.allclose(ddim, ancestral, rtol=1e-7, atol=1e-9)


def test_what_ddim_encodes_it_decodes():
    toy = ToyGaussian(mean=0.1, std=0.4, steps=1000)
    x_0 = toy.mean + toy.std * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))

    def error(steps):
        sampler = DDIM(steps=steps, clip=False)
        network = lambda x, time: toy.network(x, time)  # noqa: E731
        *_, end = sampler.encode(toy.diffusion, network, x_0)
        assert abs(end.x_t.std() - 1) < 0.1  # it is noise
        return (sampler.sample(toy.diffusion, network, lambda: end.x_t) - x_0).abs().mean().item()

    assert error(250) < 2 / 255
    assert error(500) < 0.6 * error(250)


def test_only_a_path_without_chance_can_be_walked_backwards():
    toy = ToyGaussian(mean=0.1, std=0.4, steps=10)
    with pytest.raises(ValueError, match=r"sampler\.eta=0"):
        next(DDIM(eta=0.5).encode(toy.diffusion, toy.network, torch.zeros(1, 1, 2, 2)))
    with pytest.raises(ValueError, match=r"eta lies between 0"):
        DDIM(eta=1.5)


def test_ddim_asks_for_noise_once_and_ancestral_at_every_step():
    toy = ToyGaussian(mean=0.1, std=0.4, steps=10)
    asked = []

    def noise():
        asked.append(1)
        return torch.zeros(1, 1, 2, 2)

    DDIM(steps=5).sample(toy.diffusion, toy.network, noise)
    assert len(asked) == 1
    Ancestral(steps=5).sample(toy.diffusion, toy.network, noise)
    assert len(asked) == 1 + 1 + 5


@pytest.mark.parametrize("sampler", [Ancestral(steps=5), DDIM(steps=5), DDIM(steps=5, eta=0.7)])
def test_an_image_depends_on_its_seed_and_number_and_not_on_its_batch(sampler):
    toy = ToyGaussian(mean=0.1, std=0.4, steps=10)

    def images(numbers, seed=0):
        return draw(sampler, toy.diffusion, toy.network, numbers, shape=(1, 4, 4), seed=seed)

    whole = images(range(7))
    assert torch.equal(whole, torch.cat([images([0]), images([1, 2, 3]), images(range(4, 7))]))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole, images(range(7), seed=1))


def test_every_step_is_shown_with_the_condition_and_the_original_times():
    toy, times = ToyGaussian(mean=0.1, std=0.4, steps=10), []

    def network(x, time, y):
        assert y.tolist() == [4]
        times.append(time.item())
        return toy.network(x, time)

    noise = lambda: torch.randn(1, 1, 2, 2, generator=generator(0))  # noqa: E731
    steps = list(Ancestral(steps=4).progressive(toy.diffusion, network, noise, condition={"y": torch.tensor([4])}))
    assert times == [9, 6, 3, 0] and len(steps) == 4
    assert all(step.x_0.abs().max() <= 1 for step in steps)


def test_guidance_by_a_likelihood_draws_from_the_posterior():
    # p(x_0) N(seen; x_0, 1), small steps: guided by the exact gradient of log p(seen | x_t), the mean is Bayes'.
    toy, seen = ToyGaussian(mean=0.0, std=0.4, steps=2000), 1.0
    alpha_bar = toy.alpha_bar

    def guidance(x_t, time):
        a = alpha_bar[time].view(-1, 1, 1, 1)
        gain = a.sqrt() * toy.std**2 / (a * toy.std**2 + 1 - a)
        return gain * (seen - gain * x_t) / (1 + toy.std**2 - gain * a.sqrt() * toy.std**2)

    x_t = silence = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    for t in reversed(range(2000)):
        at, sampler = torch.tensor([t]), Ancestral(clip=False)
        x_t = sampler.step(toy.diffusion, toy.network(x_t, at), x_t, at, lambda: silence, guidance=guidance).x_t
    wanted = seen * toy.std**2 / (1 + toy.std**2)
    assert x_t.item() == pytest.approx(wanted, rel=0.01)  # guidance is exact for infinitely many steps


@pytest.mark.parametrize("total, steps", [(4000, 4), (4000, 6), (4000, 20), (1000, 2), (1000, 3), (1000, 8)])
def test_ddim_with_eta_1_stays_finite_where_nothing_is_left_for_eps(total, steps):
    diffusion = GaussianDiffusion(
        steps=total, schedule=Cosine(), prediction=Epsilon(), variance=FixedSmall(), loss=Simple()
    )
    chance = torch.Generator().manual_seed(0)
    x = DDIM(steps=steps, eta=1.0).sample(
        diffusion, lambda x_t, time: x_t, lambda: torch.randn(2, 1, 4, 4, generator=chance)
    )
    assert x.isfinite().all()
