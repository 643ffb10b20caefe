"""One reverse step from the five choices."""

import pytest
import torch

from diffusion import VLB, Cosine, Epsilon, FixedSmall, GaussianDiffusion, LearnedRange, Linear, Simple, Start


def diffusion_of(**choices) -> GaussianDiffusion:
    defaults = dict(steps=20, schedule=Cosine(), prediction=Start(), variance=FixedSmall(), loss=VLB())
    return GaussianDiffusion(**defaults | choices)


def test_x_0_is_transformed_then_clipped_then_used():
    diffusion, t = diffusion_of(), torch.tensor([5])
    output, x_t = torch.full((1, 1, 2, 2), 0.75), torch.zeros(1, 1, 2, 2)
    reverse = diffusion.reverse(output, x_t, t, transform=lambda x_0: 2 * x_0)
    assert torch.equal(reverse.x_0, torch.ones_like(x_t))
    assert torch.equal(reverse.mean, diffusion.process.posterior_mean(torch.ones_like(x_t), x_t, t))
    free = diffusion.reverse(output, x_t, t, clip=False, transform=lambda x_0: 2 * x_0)
    assert torch.equal(free.x_0, 2 * output)


@pytest.mark.parametrize("rescale, told", [(True, [0.0, 50.0, 950.0]), (False, [0, 1, 19])])
def test_the_network_is_told_the_step_or_its_share_of_1000(rescale, told):
    process = diffusion_of(rescale_times=rescale).process
    assert process.time(torch.tensor([0, 1, 19])).tolist() == told


def test_a_respaced_diffusion_leaves_the_whole_one_alone():
    diffusion = diffusion_of()
    assert len(diffusion.respace([0, 10, 19]).process) == 3
    assert len(diffusion.process) == 20


def test_a_head_too_narrow_for_the_variance_is_refused_with_the_right_width():
    diffusion = diffusion_of(variance=LearnedRange(), prediction=Epsilon())
    assert diffusion.outputs(3) == 6
    with pytest.raises(ValueError, match=r"needs 6 output channels, the model gives 3; set model.out_channels=6"):
        diffusion.split(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))


def test_impossible_choices_are_refused_at_once():
    with pytest.raises(ValueError, match="simple loss never trains LearnedRange"):
        diffusion_of(variance=LearnedRange(), loss=Simple())
    with pytest.raises(ValueError, match="at least 20 steps"):
        diffusion_of(schedule=Linear(), steps=10)
    with pytest.raises(ValueError, match="at least 2 steps"):
        diffusion_of(steps=1)
