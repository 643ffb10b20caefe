"""Whatever a model draws or measures on a GPU is computed there: nothing mixes with what lies on the CPU."""

import pytest
import torch
from fake_gpu import GPU, OnGPU, fake_gpu
from torch import nn

from diffusion import (
    DDIM,
    Ancestral,
    ContinuousDiffusion,
    Cosine,
    Draw,
    Epsilon,
    EvenLogSNR,
    FixedLarge,
    GaussianDiffusion,
    ImageToImage,
    Inpaint,
    Interpolate,
    Model,
    Replacement,
    Simple,
    VariancePreserving,
    Vary,
    Velocity,
)

IMAGES, MASK = torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4)
CHAIN = GaussianDiffusion(
    steps=8, schedule=Cosine(), prediction=Epsilon(), variance=FixedLarge(), loss=Simple()
)  # fmt: skip
CONTINUUM = ContinuousDiffusion(
    schedule=EvenLogSNR(), path=VariancePreserving(), prediction=Velocity(), loss=Simple()
)  # fmt: skip
TASKS = {
    "draw": (Draw, Ancestral),
    "image to image": (lambda: ImageToImage(images=IMAGES), Ancestral),
    "inpaint": (lambda: Inpaint(images=IMAGES, mask=MASK, jump_length=1, jump_n_sample=2), Ancestral),
    "replacement": (lambda: Replacement(images=IMAGES, mask=MASK), Ancestral),
    "interpolate": (Interpolate, DDIM),
    "interpolate images": (lambda: Interpolate(images=IMAGES), DDIM),
    "vary": (lambda: Vary(images=IMAGES), Ancestral),
}


class ByClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1)

    def forward(self, x, time, y):
        return self.layer(x) + (time + y).view(-1, 1, 1, 1)


def model_of(diffusion) -> Model:
    return Model(
        network=ByClass().to(GPU), diffusion=diffusion, shape=(1, 4, 4), classes=["a", "b"],
        config={"train": {"label_dropout": 0.0}}, step=1, weights="raw", device=GPU,
    )  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_every_task_draws_where_the_network_is(task):
    task, sampler = TASKS[task]
    with fake_gpu():
        drawn = model_of(CHAIN).draw(2, sampler=sampler(steps=4), task=task(), labels=["a", "b"])
        assert isinstance(drawn, OnGPU) and drawn.shape == (2, 1, 4, 4)


@pytest.mark.parametrize("diffusion", [CHAIN, CONTINUUM], ids=["chain", "continuum"])
def test_images_are_measured_where_the_network_is(diffusion):
    with fake_gpu():
        bits = model_of(diffusion).bits_per_dim(IMAGES, labels=["a", "b"])
        assert isinstance(bits, OnGPU) and bits.shape == (2,)
