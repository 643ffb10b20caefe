"""A training run that takes milliseconds a step: an 8x8 network with dropout, and every part that has state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from diffusion import Ancestral, Cosine, Epsilon, GaussianDiffusion, Hybrid, LearnedRange, LossSecondMoment
from diffusion.data.synthetic import Synthetic
from diffusion.tracking.loggers import Logger
from diffusion.training.adamw import AdamW
from diffusion.training.ema import EMA
from diffusion.training.learner import Learner
from diffusion.training.parallel import Replicated
from diffusion.training.preview import Preview
from diffusion.training.trainer import Run, Trainer
from unet import UNet

CPU = torch.device("cpu")
STEPS = 4


def tiny_network(dropout: float = 0.0) -> UNet:
    torch.manual_seed(0)
    network = UNet(
        image_size=8, in_channels=1, out_channels=2, num_classes=2, base_channels=16, channel_mult=(1, 2),
        blocks_per_level=1, attention_resolutions=(4,), heads=2, norm_groups=8, dropout=dropout,
    )  # fmt: skip
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.02 * torch.randn_like(weight)  # a fresh network ends in zeros, which hide what is before them
    return network


def tiny_diffusion() -> GaussianDiffusion:
    return GaussianDiffusion(
        steps=STEPS, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid(vlb_weight=0.1)
    )


def tiny_images() -> Synthetic:
    return Synthetic(image_size=8, channels=1, num_classes=2, num_images=12)


def by_loss() -> LossSecondMoment:
    """Warm after a few steps."""
    return LossSecondMoment(history=2)


def tiny_learner(*, precision: str = "float32", dropout: float = 0.0, lr: float = 1e-3, **options) -> Learner:
    network = tiny_network(dropout)
    return Learner(
        Replicated(network, CPU),
        tiny_diffusion(),
        optimizer=AdamW(network.parameters(), lr=lr, weight_decay=0.1),
        schedule_sampler=by_loss(),
        ema=EMA(network, (0.5, 0.9)),
        precision=precision,
        **options,
    )


def tiny_run(folder: Path, *, dropout: float = 0.1, **changes) -> Run:
    folder.mkdir(exist_ok=True)
    defaults = dict(
        folder=folder, seed=3, device=CPU, model=tiny_network(dropout), diffusion=tiny_diffusion(),
        images=tiny_images(), sampler=Ancestral(steps=2), logger=Logger(),
        config={"train": {"max_steps": 1}, "classes": ["0", "1"]},
    )  # fmt: skip
    return Run(**defaults | changes)


def tiny_trainer(**options) -> Trainer:
    defaults = dict(
        optimizer=lambda weights: AdamW(weights, lr=1e-3), schedule_sampler=by_loss(), preview=Preview(every=0),
        batch_size=4, microbatch=2, warmup_steps=3, clip_grad_norm=1.0, ema_rates=(0.5, 0.9),
        log_every=1, save_every=100,
    )  # fmt: skip
    return Trainer(**defaults | options)


def tiny_state(step: int) -> dict[str, Any]:
    """A state with every part that a checkpoint has."""
    weights = {"weight": torch.full((1000,), float(step))}
    parts = dict(optimizer={}, scaler={}, schedule_sampler={}, averages={}, config={"name": "x", "rates": [0.9]})
    return dict(step=step, model=weights, ema={"0.9": weights}, **parts)
