"""The choices around a process."""

import pytest
import torch

from diffusion import (
    VLB,
    Cosine,
    Epsilon,
    FixedSmall,
    GaussianDiffusion,
    Hybrid,
    LearnedRange,
    Linear,
    Previous,
    Simple,
    Start,
    Velocity,
)
from diffusion.denoiser.diffusion import ContinuousDiffusion
from diffusion.process.continuum import VariancePreserving
from diffusion.process.log_snr import CosineLogSNR


def diffusion_of(**choices) -> GaussianDiffusion:
    defaults = dict(steps=20, schedule=Cosine(), prediction=Start(), variance=FixedSmall(), loss=VLB())
    return GaussianDiffusion(**defaults | choices)


def continuous(**choices) -> ContinuousDiffusion:
    defaults = dict(schedule=CosineLogSNR(), path=VariancePreserving(), prediction=Velocity(), loss=Simple())
    return ContinuousDiffusion(**defaults | choices)


@pytest.mark.parametrize("rescale, told", [(True, [0.0, 50.0, 950.0]), (False, [0, 1, 19])])
def test_the_network_is_told_the_step_or_its_share_of_1000(rescale, told):
    process = diffusion_of(rescale_times=rescale).process
    assert process.level(torch.tensor([0, 1, 19])).time.tolist() == told


def test_a_respaced_diffusion_leaves_the_whole_one_alone():
    diffusion = diffusion_of()
    assert len(diffusion.respace([0, 10, 19]).process) == 3
    assert len(diffusion.process) == 20


def test_impossible_choices_are_refused_at_once():
    with pytest.raises(ValueError, match="simple loss never trains LearnedRange"):
        diffusion_of(variance=LearnedRange(), loss=Simple())
    with pytest.raises(ValueError, match="at least 21 steps"):
        diffusion_of(schedule=Linear(), steps=10)
    with pytest.raises(ValueError, match="at least 2 steps"):
        diffusion_of(steps=1)


@pytest.mark.parametrize("loss, name", [(Hybrid(), "hybrid"), (VLB(), "VLB")])
def test_without_steps_there_is_no_bound_to_train_on(loss, name):
    with pytest.raises(
        ValueError, match=rf"^the {name} loss needs steps: [^\n]*set diffusion=cosine, or .*loss=simple$"
    ):
        continuous(loss=loss, variance=LearnedRange())


def test_without_steps_there_is_no_previous_image():
    with pytest.raises(ValueError, match=r"^the previous image is a step of a chain[^\n]*prediction=velocity$"):
        continuous(prediction=Previous())


def test_without_steps_nothing_is_learned_of_the_variance():
    assert continuous().outputs(3) == 3
    with pytest.raises(ValueError, match="simple loss never trains LearnedRange"):
        continuous(variance=LearnedRange(), prediction=Epsilon())
