"""Images between images, and the way back to their noise."""

import math

import pytest
import torch
from toy_drawing import CHAIN, correlated, drawing

from diffusion import DDIM, Ancestral, DPMSolver, Heun, Interpolate, UniPC, draw, trajectory
from diffusion.compute.randomness import generator
from diffusion.tasks.latents import latents, slerp

SHAPE = (1, 2, 2)
COVARIANCE, MEAN = 0.2 * torch.eye(4, dtype=torch.float64) + 0.1, 0.1
FOUR = correlated(COVARIANCE, MEAN)
GIVEN = torch.tensor([[[[0.9, -0.25], [1, -1]]], [[[0.1, 0.6], [-0.3, 0.4]]], [[[0.0, 0.5], [-1.0, 0.2]]]])


@pytest.mark.parametrize("kind, order", [(DDIM, 1), (DPMSolver, 2), (UniPC, 2), (Heun, 2)])
def test_encoded_and_decoded_an_image_is_itself_the_more_so_the_more_steps(kind, order):
    def error(steps):
        sampler = kind(steps=steps)
        levels = sampler.levels(CHAIN)[:-1]  # to the least noisy level, for which an image is taken
        x = latents(sampler, FOUR, [*levels, CHAIN.image()], GIVEN.double())
        *_, last = sampler.walk(FOUR, levels, x, lambda: x)
        return (last.x - GIVEN).abs().max().item()

    few, many = error(25), error(100)
    assert many < few / 4**order * 1.7 and many < 0.05, (few, many)


def test_the_ends_are_the_images_and_between_them_is_a_path():
    task, sampler = Interpolate(images=GIVEN, count=9), DDIM(steps=250)
    task.check(sampler, CHAIN, SHAPE)
    assert task.total(64, SHAPE) == 18 and task.total(5, SHAPE) == 5
    x = draw(task.steps(drawing(sampler, range(18), SHAPE, FOUR)))
    for number, image in [(0, 0), (8, 1), (9, 1), (17, 2)]:
        assert (x[number] - GIVEN[image]).abs().max() < 0.06
    # The exact path of normal data keeps (x_0 - mean) / std along each axis of the covariance, up to the noise.
    values, axes = torch.linalg.eigh(COVARIANCE)
    white = ((x.flatten(1) - MEAN) @ axes / values.sqrt()).view(-1, *SHAPE)
    between = slerp(white[:1].expand(9, *SHAPE), white[8:9].expand(9, *SHAPE), torch.linspace(0, 1, 9))
    assert (white[:9] - between).abs().max() < 0.05 < 0.3 < (white[4] - (white[0] + white[8]) / 2).abs().max()
    assert [task.row(n) for n in (0, 3, 5, 8, 9, 17)] == [0, 0, 1, 1, 1, 2]


def test_without_images_it_leads_from_one_drawn_image_to_the_next():
    task, sampler = Interpolate(count=3), UniPC(steps=10)
    task.check(sampler, CHAIN, SHAPE)
    ask = drawing(sampler, range(3), SHAPE, FOUR)
    plain = draw(trajectory(sampler, CHAIN, FOUR, ask.noise_of(range(3))))
    x = draw(task.steps(drawing(sampler, range(6), SHAPE, FOUR)))
    assert torch.allclose(x[[0, 2, 3, 5]], plain[[0, 1, 1, 2]], rtol=0, atol=1e-12)
    parts = [draw(task.steps(drawing(sampler, part, SHAPE, FOUR))) for part in ([0], [1, 2, 3], [4, 5])]
    assert torch.allclose(torch.cat(parts), x, rtol=0, atol=1e-12)
    assert task.total(64, SHAPE) == 64 and task.labels(SHAPE) is None


def test_between_two_noises_lies_noise():
    """Where a straight line has half the variance in the middle."""
    a, b = torch.randn(2, 400, 3, 16, 16, generator=generator("a"), dtype=torch.float64)
    for share in (0.0, 0.3, 0.5, 1.0):
        between = slerp(a, b, torch.full((400,), share))
        assert between.std().item() == pytest.approx(1, abs=0.005)
        norms = between.flatten(1).norm(dim=1)
        assert norms.mean().item() == pytest.approx(math.sqrt(768), rel=0.003)
        assert norms.std().item() == pytest.approx(math.sqrt(0.5), rel=0.4)  # that of a chi variable
    assert torch.lerp(a, b, 0.5).std() < 0.72


def test_on_the_sphere_all_points_have_one_length_and_lie_evenly():
    a, b = torch.randn(2, 1, 1, 2, 2, generator=generator("sphere"), dtype=torch.float64)
    a, b = a / a.norm(), b / b.norm()
    points = torch.cat([slerp(a, b, torch.tensor([share])) for share in torch.linspace(0, 1, 5).tolist()])
    assert torch.allclose(points.flatten(1).norm(dim=1), torch.ones(5, dtype=torch.float64), atol=1e-7)
    steps = points.diff(dim=0).flatten(1).norm(dim=1)
    assert torch.allclose(steps, steps[:1].expand(4), atol=1e-6)
    assert torch.equal(points[:1], a) and torch.allclose(points[-1:], b)
    assert torch.allclose(slerp(a, a, torch.tensor([0.3])), a)


def test_it_needs_two_ends_and_a_sampler_without_noise():
    with pytest.raises(ValueError, match=r"holds one; give more, such as 'task.images=\[a.png,b.png\]'"):
        Interpolate(images=GIVEN[:1]).check(DDIM(), CHAIN, SHAPE)
    with pytest.raises(ValueError, match=r"eta is 0.5; set sampler.eta=0"):
        Interpolate(images=GIVEN).check(DDIM(eta=0.5), CHAIN, SHAPE)
    with pytest.raises(ValueError, match=r"set sampler=ddim"):
        Interpolate().check(Ancestral(), CHAIN, SHAPE)
    with pytest.raises(ValueError, match=r"count=1 leaves no room for both ends; set task.count=8"):
        Interpolate(count=1)
