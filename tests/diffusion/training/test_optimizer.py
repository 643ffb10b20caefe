"""The learning rate over time, and the optimizer."""

import pytest
import torch

from diffusion.training.trainer import AdamW, rate_factor


def factors(steps, **options):
    return [rate_factor(step, **dict(warmup_steps=0, anneal_steps=None) | options) for step in range(steps)]


def test_without_options_every_step_is_at_full_rate():
    assert factors(3) == [1, 1, 1]


def test_warming_up_rises_in_equal_steps_and_never_begins_at_zero():
    assert factors(5, warmup_steps=3) == [0.25, 0.5, 0.75, 1, 1]


def test_annealing_begins_at_full_rate_and_would_reach_zero_and_stays_there():
    assert factors(6, anneal_steps=4) == [1, 0.75, 0.5, 0.25, 0, 0]


def test_both_multiply():
    assert factors(4, warmup_steps=1, anneal_steps=4) == [0.5, 0.75, 0.5, 0.25]


def test_adamw_decays_the_weights_apart_from_the_gradient():
    # Loshchilov & Hutter 2019: w <- w - lr * decay * w - lr * sign of the first gradient.
    weight = torch.nn.Parameter(torch.tensor([2.0, -2.0]))
    optimizer = AdamW([weight], lr=0.1, weight_decay=0.5)
    (weight * torch.tensor([3.0, 1e-3])).sum().backward()
    optimizer.step()
    assert weight.tolist() == pytest.approx([2 - 0.1 - 0.1, -2 + 0.1 - 0.1], rel=1e-4)  # eps is 1e-5 of a gradient
