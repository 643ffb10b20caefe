"""Which t to train on."""

import pytest
import torch

from diffusion import LossSecondMoment, Uniform

STEPS = 8


def warmed_up(history=3) -> LossSecondMoment:
    """After `history` losses at each t, of which the last is t + 1 and the others are half of that."""
    sampler = LossSecondMoment(steps=STEPS, history=history)
    t = torch.arange(STEPS)
    for i in range(history):
        sampler.update(t, (t + 1) * (1.0 if i == history - 1 else 0.5))
    return sampler


@pytest.mark.parametrize("sampler", [Uniform(steps=STEPS), warmed_up()], ids=["uniform", "second_moment"])
def test_importance_weights_leave_the_mean_over_t_unbiased(sampler):
    # The expectation itself: a grid of u meets each t in proportion to its probability.
    loss = torch.randn(STEPS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    count = 100_000
    t, weights = sampler.draw((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    assert (loss[t] * weights).mean().item() == pytest.approx(loss.mean().item(), abs=STEPS / count)
    assert (sampler.probabilities() * STEPS * weights.new_tensor(1)).sum().item() == pytest.approx(STEPS, rel=1e-12)


@pytest.mark.parametrize("sampler", [Uniform(steps=STEPS), warmed_up()], ids=["uniform", "second_moment"])
def test_every_u_gives_a_t(sampler):
    t, weights = sampler.draw(torch.tensor([0.0, 1 - 2**-24]))
    assert t.tolist() == [0, STEPS - 1] and torch.isfinite(weights).all()


def test_probabilities_follow_the_root_mean_square_with_a_uniform_part():
    rms = (torch.arange(1, STEPS + 1, dtype=torch.float64) ** 2 * (0.25 + 0.25 + 1) / 3).sqrt()
    wanted = 0.999 * rms / rms.sum() + 0.001 / STEPS
    assert torch.allclose(warmed_up().probabilities(), wanted, rtol=1e-12)


def test_uniform_until_every_t_has_its_history_which_then_forgets_the_oldest():
    sampler = LossSecondMoment(steps=2, history=2)
    sampler.update(torch.tensor([0, 0, 0, 1]), torch.tensor([9.0, 1.0, 2.0, 5.0]))
    assert not sampler.warmed_up and sampler.probabilities().tolist() == [0.5, 0.5]
    sampler.update(torch.tensor([1]), torch.tensor([6.0]))
    assert sampler.warmed_up and sampler.losses.tolist() == [[1, 2], [5, 6]]


def test_a_batch_is_learned_as_if_its_images_came_one_by_one():
    chance = torch.Generator().manual_seed(0)
    whole, single = LossSecondMoment(steps=4, history=3), LossSecondMoment(steps=4, history=3)
    for _ in range(3):
        t, losses = torch.randint(4, (9,), generator=chance), torch.rand(9, generator=chance)
        whole.update(t, losses)
        for i in range(9):
            single.update(t[i : i + 1], losses[i : i + 1])
        assert torch.equal(whole.losses, single.losses) and torch.equal(whole.counts, single.counts)


def test_a_state_brings_back_the_history_but_not_into_another_process():
    before, after = warmed_up(), LossSecondMoment(steps=STEPS, history=3)
    after.load_state_dict(before.state_dict())
    assert torch.equal(after.probabilities(), before.probabilities())
    with pytest.raises(ValueError, match=r"losses are \(8, 3\), needed \(4, 3\)"):
        LossSecondMoment(steps=4, history=3).load_state_dict(before.state_dict())
