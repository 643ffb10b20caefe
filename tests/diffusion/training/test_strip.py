"""How images come out of the noise."""

import pytest
import torch
from toy_gaussian import ToyGaussian

from diffusion import DDIM, Ancestral
from diffusion.pictures.grid import grid
from diffusion.samplers.sampler import draw, trajectory
from diffusion.training.preview import IMAGES, Strip

TOY = ToyGaussian(mean=0.1, std=0.4, steps=10)


def steps_of(sampler):
    chance = torch.Generator().manual_seed(0)
    return trajectory(sampler, TOY.process, TOY.denoise, lambda: torch.randn(6, 1, 8, 8, generator=chance))


@pytest.mark.parametrize("sampler", [Ancestral(steps=3), DDIM()])
def test_who_watches_does_not_disturb(sampler):
    assert torch.equal(draw(Strip(3).watch(steps_of(sampler))), draw(steps_of(sampler)))


def test_a_strip_shows_the_first_images_of_each_step_up_to_the_last():
    strip, steps = Strip(10), list(steps_of(Ancestral()))
    draw(strip.watch(iter(steps)))
    assert len(strip.steps) == len(steps) == 10
    for seen, step in zip(strip.steps, steps, strict=True):
        assert torch.equal(seen.x, step.x[:IMAGES]) and torch.equal(seen.x_0, step.x_0[:IMAGES])
    # Two rows an image: what the sampler has in hand, and below it the image expected in it.
    tiles = [x[image] for image in range(IMAGES) for row in zip(*steps, strict=True) for x in row]
    heads, rows = [f"step {step}" for step in range(1, 11)], ["x_t, cat", "predicted x_0"] * IMAGES
    assert (strip.picture(["cat"] * 6) == grid(torch.stack(tiles), columns=10, labels=heads * 8, rows=rows)).all()


def test_moments_are_evenly_spaced_and_begin_and_end_with_the_walk():
    assert Strip(1).moments == {0} and Strip(4).moments == {0, 1, 2, 3}
    assert Strip(91).moments == set(range(0, 91, 10))
    moments = Strip(1000).moments
    assert min(moments) == 0 and max(moments) == 999 and len(moments) == 10
