"""One training step."""

import pytest
import torch
from tiny_training import tiny_images, tiny_learner

from diffusion.data.loader import batches
from diffusion.training.not_finite import NotFinite


def stream(batch_size=8, start=0):
    return batches(tiny_images(), batch_size=batch_size, seed=1, start=start)


def train(learner, steps, start=0, factor=1.0):
    for _, batch in zip(range(steps), stream(start=start), strict=False):
        learner.step(batch, factor)
    return learner


def weights(learner):
    return [weight.detach().clone() for weight in learner.model.parameters()]


def gradients(learner):
    return torch.cat([weight.grad.flatten() for weight in learner.model.parameters()])


def test_micro_batches_change_the_gradient_by_rounding_only():
    # Sums of 8 numbers in another order: a few units in float32's last place, of the largest gradient.
    whole = gradients(train(tiny_learner(), 1))
    for microbatch in (2, 3, 8):
        parts = gradients(train(tiny_learner(microbatch=microbatch), 1))
        assert torch.allclose(parts, whole, rtol=0, atol=2e-6 * whole.abs().max().item())


def test_micro_batches_change_the_weights_by_rounding_only():
    # Adam divides a gradient by its own size: where that is rounding (the key bias), any step is as good.
    whole, parts = train(tiny_learner(), 3), train(tiny_learner(microbatch=2), 3)
    for (name, one), other in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
        apart = (one - other).abs()
        assert apart.max() <= 3 * 2 * 1e-3
        if "bias" not in name:
            assert apart.median() < 1e-6, name
    assert whole.readings()["loss"] == pytest.approx(parts.readings()["loss"], rel=1e-5)


def test_dropout_differs_between_steps_but_not_between_runs():
    one, other = (train(tiny_learner(dropout=0.5), 3) for _ in range(2))
    assert all(map(torch.equal, weights(one), weights(other)))
    torch.manual_seed(99)  # what else a program draws does not matter
    assert all(map(torch.equal, weights(train(tiny_learner(dropout=0.5), 3)), weights(one)))


def test_the_seed_decides_t_and_noise():
    batch = next(stream())
    one, same, other = (tiny_learner(seed=seed).draw(batch) for seed in (0, 0, 1))
    assert torch.equal(one.eps, same.eps) and torch.equal(one.t, same.t)
    assert not torch.equal(one.eps, other.eps)


def test_an_image_is_drawn_for_by_its_place_in_the_stream_whatever_the_batch():
    learner, whole = tiny_learner(), next(stream(8))
    eps = learner.draw(whole).eps
    halves = [learner.draw(batch).eps for _, batch in zip(range(2), stream(4), strict=False)]
    assert torch.equal(torch.cat(halves), eps)


@pytest.mark.parametrize("microbatch", [None, 2])
def test_a_loss_that_is_not_finite_leaves_weights_averages_and_history_untouched(microbatch):
    learner = train(tiny_learner(microbatch=microbatch), 2)
    before, counts = weights(learner), learner.schedule_sampler.counts.clone()
    averages = [average.clone() for average in learner.ema.state_dict()["0.9"].values()]
    batch = next(stream(start=2))
    batch.x_0[-1, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="the loss of step 2 is nan"):
        learner.step(batch, 1.0)
    assert all(map(torch.equal, weights(learner), before))
    assert all(map(torch.equal, learner.ema.state_dict()["0.9"].values(), averages))
    assert torch.equal(learner.schedule_sampler.counts, counts) and learner.steps_done == 2


def test_a_gradient_that_is_not_finite_leaves_the_weights_untouched():
    learner = tiny_learner()
    before = weights(learner)
    learner.model.head.register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] * float("inf"),))
    with pytest.raises(ValueError, match="the gradient of step 0 is"):
        train(learner, 1)
    assert all(map(torch.equal, weights(learner), before))


def test_clipping_limits_what_the_norm_reports_unclipped():
    free, clipped = tiny_learner(), tiny_learner(clip_grad_norm=0.1)
    for learner in (free, clipped):
        train(learner, 1)
    assert gradients(clipped).norm().item() == pytest.approx(0.1, rel=1e-4)
    norm = gradients(free).norm().item()
    assert norm > 0.1
    for learner in (free, clipped):
        assert learner.readings()["grad_norm"] == pytest.approx(norm, rel=1e-5)


def test_the_rate_of_a_step_is_the_configured_one_times_its_factor():
    learner = train(tiny_learner(lr=0.01), 2, factor=0.25)
    assert learner.readings()["lr"] == 0.0025
    before = weights(train(learner, 1, start=2, factor=0.0))
    assert all(map(torch.equal, weights(train(learner, 1, start=3, factor=0.0)), before))


def test_readings_say_where_the_weights_stand():
    learner = train(tiny_learner(), 1)
    norm = torch.cat([weight.flatten() for weight in weights(learner)]).norm().item()
    readings = learner.readings()
    assert readings["param_norm"] == pytest.approx(norm, rel=1e-5)
    assert readings["loss"] == pytest.approx(readings["mse"] + readings["vb"], rel=1e-5)


def test_training_goes_on_with_the_settings_of_now():
    state = train(tiny_learner(lr=0.01), 2).state_dict()
    learner = tiny_learner(lr=0.5)
    learner.load_state_dict(state)
    assert learner.optimizer.param_groups[0]["lr"] == 0.5
    train(learner, 1, start=2)
    assert learner.readings()["lr"] == 0.5


def test_moments_laid_out_otherwise_in_memory_are_the_same_moments():
    learner, other = train(tiny_learner(), 2), tiny_learner()
    state = learner.state_dict()
    for moments in state["optimizer"]["state"].values():
        moments.update({name: moment.clone(memory_format=torch.contiguous_format) for name, moment in moments.items()})
    other.load_state_dict(state)
    train(learner, 2, start=2)
    train(other, 2, start=2)
    assert any(w.ndim == 4 and not w.is_contiguous() for w in weights(learner))  # there is another way to lay them out
    assert all(map(torch.equal, weights(learner), weights(other)))


def spoilt(change):
    """A sound state, but for what `change` does to the optimizer's."""
    state = train(tiny_learner(), 2).state_dict()
    change(state["optimizer"]["state"])
    return state


@pytest.mark.parametrize(
    "change, said",
    [
        (
            lambda kept: kept[0].update(exp_avg=torch.zeros(())),
            r"exp_avg of weight 0 is \(\) float32, needed \(64, 16\)",
        ),
        (lambda kept: kept[0].update(exp_avg=kept[0]["exp_avg"].double()), r"float64, needed \(64, 16\) float32"),
        (lambda kept: kept[0].update(step=torch.zeros(3)), r"step of weight 0 is \(3,\) float32, needed \(\) float32"),
        (lambda kept: kept[0].update(exp_avg="text"), "exp_avg of weight 0 is a str, needed a tensor"),
        (lambda kept: kept[0].pop("exp_avg_sq"), "of weight 0 is step, exp_avg, needed step, exp_avg, exp_avg_sq"),
        (lambda kept: kept[0].update(more=torch.zeros(1)), "exp_avg_sq, more, needed"),
        (lambda kept: kept.update({0: "text"}), "of weight 0 is 'text', needed"),
        (lambda kept: kept.pop(5), "lacks weight 5, which was trained"),
        (lambda kept: kept.clear(), "lacks weight 0, which was trained"),
        (lambda kept: kept.update({999: kept[0]}), "is of a weight no. 999, there are"),
    ],
)
def test_an_optimizer_takes_back_exactly_what_it_keeps(change, said):
    with pytest.raises(ValueError, match=said):
        tiny_learner().load_state_dict(spoilt(change))


@pytest.mark.parametrize(
    "kind, options",
    [
        (torch.optim.SGD, {}), (torch.optim.SGD, {"momentum": 0.9}), (torch.optim.Adafactor, {}),
        (torch.optim.NAdam, {}), (torch.optim.Rprop, {}), (torch.optim.AdamW, {"amsgrad": True}),
    ],
)  # fmt: skip
def test_every_optimizer_goes_on_with_its_own_state(kind, options):
    def own():
        learner = tiny_learner()
        learner.optimizer, learner.rates = kind(learner.model.parameters(), lr=1e-3, **options), [1e-3]
        list(learner.model.parameters())[3].requires_grad_(False)  # It never has a gradient, and no state.
        return learner

    learner, other = train(own(), 2), own()
    other.load_state_dict(learner.state_dict())
    assert all(map(torch.equal, weights(train(learner, 1, start=2)), weights(train(other, 1, start=2))))


@pytest.mark.parametrize(
    "part, state, said",
    [
        ("optimizer", {}, "the optimizer's state is None, needed one of each weight"),
        ("ema", {"0.5": {}}, "there is no average of rate 0.5 of"),
        ("schedule_sampler", {}, "the schedule sampler's state is no losses and their counts"),
        ("schedule_sampler", {"losses": torch.full((4, 2), torch.nan), "counts": torch.ones(4).long()}, "not finite"),
        ("schedule_sampler", {"losses": torch.ones(4, 2), "counts": torch.full((4,), -1)}, "counts not 0 to 2"),
        ("averages", {"loss": torch.zeros(3, 3)}, r"the mean of loss is \(3, 3\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(part, state, said):
    with pytest.raises(ValueError, match=said):
        tiny_learner().load_state_dict({**train(tiny_learner(), 1).state_dict(), part: state})


def test_all_losses_of_a_batch_reach_the_schedule_sampler():
    learner = train(tiny_learner(microbatch=2), 1)
    t = learner.draw(next(stream())).t
    counted = torch.bincount(t, minlength=4).clamp(max=2)
    assert torch.equal(learner.schedule_sampler.counts, counted)


def test_a_spoilt_step_changes_nothing_and_is_found_later():
    learner = train(tiny_learner(), 2)
    learner.spoilt.at_once = False  # as on a GPU
    before = weights(learner)
    batch = next(stream(start=2))
    batch.x_0[0, 0, 0, 0] = float("nan")
    learner.step(batch, 1.0)
    assert all(map(torch.equal, weights(learner), before))
    train(learner, 2, start=3)
    assert not all(map(torch.equal, weights(learner), before))
    assert all(weight.isfinite().all() for weight in learner.model.parameters())
    with pytest.raises(NotFinite, match="the loss of step 2 is nan"):
        learner.spoilt.check()


def test_without_anything_spoilt_looking_late_changes_nothing():
    one, other = tiny_learner(), tiny_learner()
    other.spoilt.at_once = False
    assert all(map(torch.equal, weights(train(one, 3)), weights(train(other, 3))))
    other.spoilt.check()
