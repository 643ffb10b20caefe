"""Images by number."""

import pytest
import torch
from toy_gaussian import Called, ToyGaussian

from diffusion import DDIM, Ancestral
from diffusion.compute.randomness import generator, normal
from diffusion.inference.draw import draw_steps
from diffusion.inference.trained import Trained
from diffusion.samplers.sampler import draw

TOY = ToyGaussian(mean=0.1, std=0.4, steps=10)


def trained(network, *conditions) -> Trained:
    return Trained(
        network=Called(network, *conditions), diffusion=TOY.diffusion, shape=(1, 4, 4), classes=None, config={},
        step=1, weights="raw", device=torch.device("cpu"),
    )  # fmt: skip


@pytest.mark.parametrize("sampler", [Ancestral(steps=5), DDIM(steps=5), DDIM(steps=5, eta=0.7)])
def test_an_image_depends_on_its_seed_and_number_and_not_on_its_batch(sampler):
    def images(numbers, seed=0):
        return draw(draw_steps(trained(TOY.network), sampler, numbers, seed=seed, condition={}))

    whole = images(range(7))
    assert torch.equal(whole, torch.cat([images([0]), images([1, 2, 3]), images(range(4, 7))]))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole, images(range(7), seed=1))


def test_the_first_noise_is_that_of_the_numbers_and_the_network_hears_its_part_of_the_condition():
    heard = []

    def network(x, time, y):
        heard.append((x, y.tolist()))
        return TOY.network(x, time)

    condition = {"y": torch.tensor([4, 5]), "low_res": torch.zeros(2)}
    next(draw_steps(trained(network, "y"), Ancestral(), [3, 8], seed=2, condition=condition))
    noise = normal([generator(2, "sample", 3), generator(2, "sample", 8)], (1, 4, 4))
    assert torch.allclose(heard[0][0], noise, rtol=1e-6) and heard[0][1] == [4, 5]


@pytest.mark.parametrize("clip", [True, False])
def test_a_sampler_that_clips_keeps_every_expected_image_in_the_range_of_pixels(clip):
    steps = draw_steps(trained(lambda x, time: 9 * TOY.network(x, time)), DDIM(clip=clip), [0], seed=0, condition={})
    assert (max(step.x_0.abs().max() for step in steps) <= 1) == clip
