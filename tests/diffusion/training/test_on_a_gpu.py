"""A step of training never waits for the device: what it has to do is queued, and only logging reads it."""

from itertools import product

import pytest
import torch
from fake_gpu import GPU, Waits, fake_gpu
from tiny_training import tiny_network, tiny_run, tiny_trainer
from torch import nn

from diffusion import (
    VLB,
    Augmentation,
    ContinuousDiffusion,
    Cosine,
    Epsilon,
    EvenLogSNR,
    Exploding,
    FixedLarge,
    Flow,
    GaussianDiffusion,
    Hybrid,
    Label,
    Laplace,
    LearnedRange,
    LearnedUncertainty,
    Linear,
    LogitNormal,
    LogSigma,
    LossSecondMoment,
    MinSNRWeighting,
    Mixture,
    Muon,
    Normal,
    Previous,
    Simple,
    Straight,
    StraightTime,
    Uniform,
    VariancePreserving,
    Velocity,
    ZeroTerminal,
)
from diffusion.compute.device import to_device
from diffusion.data.conditions import BY_LABEL
from diffusion.data.loader import batches

PATH = VariancePreserving(data_std=0.5)
DIFFUSIONS = {
    "cosine": lambda: GaussianDiffusion(
        steps=4, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid()
    ),
    "linear": lambda: GaussianDiffusion(
        steps=30, schedule=Linear(), prediction=Epsilon(), variance=FixedLarge(), loss=Simple()
    ),
    "bound": lambda: GaussianDiffusion(
        steps=4, schedule=Cosine(), prediction=Previous(), variance=LearnedRange(), loss=VLB()
    ),
    "zero SNR": lambda: GaussianDiffusion(
        steps=4, schedule=ZeroTerminal(of=Cosine()), prediction=Velocity(), variance=FixedLarge(), loss=Simple(),
        weighting=MinSNRWeighting(),
    ),
    "edm": lambda: ContinuousDiffusion(schedule=EvenLogSNR(), path=PATH, prediction=Velocity(), loss=Simple()),
    "exploding": lambda: ContinuousDiffusion(
        schedule=EvenLogSNR(), path=Exploding(), prediction=Velocity(), loss=Simple(), weighting=LearnedUncertainty()
    ),
    "flow": lambda: ContinuousDiffusion(schedule=StraightTime(), path=Straight(), prediction=Flow(), loss=Simple()),
}  # fmt: skip
LAWS = {
    "uniform": Uniform,
    "stratified": lambda: Uniform(stratified=True),
    "by loss": LossSecondMoment,
    "normal": Normal,
    "logit-normal": LogitNormal,
    "laplace": Laplace,
    "log sigma": LogSigma,
    "mixture": lambda: Mixture(Normal(), LogSigma()),
}


class Pointwise(nn.Module):
    """The least that can be trained: a network for what lies around it."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, outputs, 1)

    def forward(self, x, time, y=None, augmentation=None):
        return self.layer(x) + time.view(-1, 1, 1, 1)


def hurry(folder, network, diffusion, *, conditions=BY_LABEL, answers=(), **options) -> None:
    """Train on a GPU that refuses to be waited for, after a first step that copies to it what then stays there.

    It may be waited for once for each of the `answers` in a step.
    """
    with fake_gpu() as gpu:
        run = tiny_run(folder, model=network, diffusion=diffusion, device=GPU, conditions=conditions)
        learner = tiny_trainer(compile=False, **options).learner(run)
        stream = batches(run.images, conditions, batch_size=4, seed=3, device=GPU)
        for hurries in (False, True):
            gpu.hurries, gpu.answers = hurries, list(answers)
            learner.step(next(stream), 1.0)
            assert not gpu.answers


@pytest.mark.parametrize(
    "diffusion, law", sorted({*product(("cosine", "edm"), LAWS), *product(DIFFUSIONS, ["laplace"])})
)
def test_no_choice_of_levels_and_loss_waits(tmp_path, diffusion, law):
    chosen = DIFFUSIONS[diffusion]()
    hurry(tmp_path, Pointwise(chosen.outputs(1)), chosen, schedule_sampler=LAWS[law](), microbatch=None)


def test_nothing_around_the_network_waits(tmp_path):
    hurry(
        tmp_path, tiny_network(0.1), DIFFUSIONS["cosine"](), label_dropout=0.5, clip_grad_norm=1.0,
        ema_rates=(0.9, 0.99), ema_ramp=0.1, ema_power=2.0, ema_widths=(0.1, 0.2), microbatch=2,
    )  # fmt: skip


def test_training_inner_layers_waits_no_more(tmp_path):
    hurry(tmp_path, tiny_network(), DIFFUSIONS["cosine"](), optimizer=Muon, microbatch=None)


def test_fp16_waits_once_to_know_whether_its_gradient_overflowed(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    hurry(tmp_path, Pointwise(1), DIFFUSIONS["edm"](), precision="fp16", answers=[True], microbatch=None)


def test_no_change_of_images_waits(tmp_path):
    changed = {"y": Label(), "augmentation": Augmentation(p=0.5)}
    hurry(tmp_path, Pointwise(1), DIFFUSIONS["edm"](), conditions=changed, microbatch=2)


def test_what_would_wait_is_seen():
    with fake_gpu() as gpu:
        x, chosen = torch.zeros(3, device=GPU), torch.zeros(3, dtype=torch.bool, device=GPU)
        gpu.hurries = True
        for wait in (
            x.cpu, x.sum().item, x.tolist, x.nonzero, lambda: bool(chosen.any()), lambda: x[chosen],
            lambda: torch.ones(3).to(GPU), lambda: torch.ones(3).to(GPU, non_blocking=True),
            lambda: torch.tensor([1.0], device=GPU), lambda: torch.ones(3).copy_(x), lambda: x.copy_(torch.ones(3)),
        ):  # fmt: skip
            with pytest.raises(Waits):
                wait()
        with pytest.raises(RuntimeError, match="mixes tensors of the GPU with one of the CPU"):
            x + torch.ones(3)
        assert to_device(torch.ones(3), GPU).device == (x + torch.tensor(1.0)).device == GPU
