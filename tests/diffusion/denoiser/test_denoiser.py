"""What a network's output says of an image."""

import pytest
import torch
from torch import nn

from diffusion import Cosine, Epsilon, FixedSmall, GaussianDiffusion, Hybrid, LearnedRange, Previous, Simple, Start
from diffusion.denoiser.denoiser import clip, conditions_of, transformed


def diffusion_of(prediction, variance=None, loss=None) -> GaussianDiffusion:
    variance, loss = variance or FixedSmall(), loss or Simple()
    return GaussianDiffusion(steps=20, schedule=Cosine(), prediction=prediction, variance=variance, loss=loss)


def test_x_0_is_transformed_then_clipped_then_used():
    diffusion, x_t = diffusion_of(Start()), torch.zeros(1, 1, 2, 2)
    move = diffusion.process.move(torch.tensor([5]))
    doubled = transformed(diffusion.denoiser(lambda x, time: torch.full_like(x, 0.75)), lambda x_0: 2 * x_0)
    said = transformed(doubled, clip)(x_t, move.here)
    assert torch.equal(said.x_0, torch.ones_like(x_t))
    assert torch.equal(said.reverse(move).mean, move.mean(x_t, torch.ones_like(x_t)))
    assert torch.equal(doubled(x_t, move.here).x_0, torch.full_like(x_t, 1.5))


def test_only_previous_keeps_its_mean_when_x_0_is_clipped():
    x_t, output = 3 * torch.randn(2, 1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for prediction, keeps in ((Previous(), True), (Epsilon(), False)):
        diffusion = diffusion_of(prediction)
        move = diffusion.process.move(torch.tensor([5]))
        free = diffusion.denoiser(lambda x, time: output)
        clipped, mean = (denoise(x_t, move.here).reverse(move).mean for denoise in (transformed(free, clip), free))
        assert torch.equal(clipped, mean) == keeps and (not keeps or torch.equal(mean, output))


def test_the_network_is_told_the_time_of_the_level_and_its_part_of_the_condition():
    diffusion, heard = diffusion_of(Start()), []

    def network(x, time, **condition):
        heard.append((time.tolist(), condition))
        return x

    denoise = diffusion.denoiser(network, takes=("y",))
    given = denoise.given({"y": torch.tensor([4, 5]), "low_res": torch.zeros(2)})
    given(torch.zeros(2, 1, 2, 2), diffusion.process.level(torch.tensor([7])))
    assert heard == [([350.0, 350.0], {"y": given.condition["y"]})] and not denoise.condition


def test_an_answer_in_half_precision_is_read_in_that_of_the_image():
    diffusion = diffusion_of(Epsilon())
    denoise = diffusion.denoiser(lambda x, time: x.bfloat16())
    assert denoise(torch.zeros(1, 1, 2, 2), diffusion.process.level(torch.tensor([7]))).x_0.dtype == torch.float32


def test_a_head_too_narrow_for_the_variance_is_refused_with_the_right_width():
    diffusion = diffusion_of(Epsilon(), LearnedRange(), Hybrid())
    assert diffusion.outputs(3) == 6
    with pytest.raises(ValueError, match=r"needs 6 output channels, the model gives 3; set model.out_channels=6"):
        diffusion.denoiser(lambda x, time: x)(torch.zeros(1, 3, 4, 4), diffusion.process.level(torch.tensor([0])))


class Named(nn.Module):
    conditions = ("y",)


class Plain(nn.Module):
    def forward(self, x, time, low_res, y=None, *, mask=None): ...


class Timeless(nn.Module):
    def forward(self, x): ...


def test_a_network_says_what_it_is_told_by_an_attribute_or_by_its_arguments():
    assert conditions_of(Named()) == ("y",) and conditions_of(Plain()) == ("low_res", "y", "mask")
    with pytest.raises(ValueError, match=r"Timeless.forward\(x\) takes no time; a network is called as forward\(x, ti"):
        conditions_of(Timeless())
