"""The learning rate over time, and the optimizer."""

import pytest
import torch

from diffusion.training.adamw import AdamW
from diffusion.training.loading import load_moments
from diffusion.training.trainer import rate_factor


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


class Lookahead(torch.optim.AdamW):
    """Keeps a slow copy of each weight from its second step on (Zhang et al. 2019)."""

    def step(self, closure=None):
        super().step(closure)
        for weight, state in self.state.items():
            if state["step"] > 1:
                state["slow"], state["turns"] = weight.detach().clone(), torch.tensor(3)


def after_two_steps(kind):
    weight = torch.nn.Parameter(torch.ones(2, 3))
    optimizer = kind([weight])
    for _ in range(2):
        weight.grad = torch.ones(2, 3)
        optimizer.step()
    return optimizer.state_dict()["state"]


def loaded(kind, saved):
    optimizer = kind([torch.nn.Parameter(torch.ones(2, 3))])
    load_moments(optimizer, saved, lambda number: True)
    return optimizer.state_dict()["state"]


def test_an_optimizer_goes_on_with_what_it_keeps_from_a_later_step_on():
    saved = after_two_steps(Lookahead)
    again = loaded(Lookahead, saved)
    assert again[0].keys() == saved[0].keys() and all(torch.equal(again[0][name], saved[0][name]) for name in saved[0])


@pytest.mark.parametrize("kind, extra", [(Lookahead, torch.ones(3, 2)), (torch.optim.AdamW, torch.ones(2, 3))])
def test_state_that_is_no_optimizers_is_refused(kind, extra):
    saved = after_two_steps(torch.optim.AdamW)
    saved[0]["slow"] = extra
    with pytest.raises(ValueError, match="slow"):
        loaded(kind, saved)
