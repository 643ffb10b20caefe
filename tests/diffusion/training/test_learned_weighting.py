"""A weighting that is trained with the network, and levels that are drawn by strata."""

import math

import pytest
import torch
from processes import together
from tiny_training import STEPS, tiny_images, tiny_learner, tiny_run, tiny_trainer

from diffusion import Cosine, Epsilon, GaussianDiffusion, Hybrid, LearnedRange, LearnedUncertainty, Normal, Uniform
from diffusion.compute.randomness import HALF_CELL
from diffusion.config.preflight import check_weighting
from diffusion.data.loader import batches
from diffusion.runs import checkpoints
from diffusion.runs.metrics import MetricsFile
from diffusion.training.adamw import AdamW
from diffusion.training.loop import fit


def learned() -> GaussianDiffusion:
    return GaussianDiffusion(
        steps=STEPS, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid(vlb_weight=0.1),
        weighting=LearnedUncertainty(),
    )  # fmt: skip


def train(folder, *, steps=4, **options):
    """The state after `steps`, of which those that `folder` holds are not done again; no dropout."""
    options = {"optimizer": lambda weights: AdamW(weights, lr=1e-2, eps=1e-3, weight_decay=0.1)} | options
    run = tiny_run(folder, dropout=0.0, diffusion=options.pop("diffusion", learned()))
    fit(tiny_trainer(max_steps=steps, **options), run, checkpoints.load_newest(folder))
    return checkpoints.load_newest(folder)


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_weighting_is_learned_saved_and_resumed_to_the_bit_and_is_no_part_of_the_network(tmp_path):
    unbroken = train(tmp_path / "unbroken")
    train(tmp_path / "broken", steps=2)
    resumed = train(tmp_path / "broken")
    for part in ("beside", "model", "ema", "averages"):
        assert same(unbroken[part], resumed[part]), part
    assert same(unbroken["optimizer"]["state"], resumed["optimizer"]["state"])
    assert unbroken["beside"].keys() == {"weight"} and unbroken["beside"]["weight"].abs().max() > 0.01
    assert unbroken["model"].keys() == unbroken["ema"]["0.9"].keys() and "weight" not in unbroken["model"]


def test_two_processes_learn_the_weighting_that_one_does(tmp_path):
    one = train(tmp_path / "one", microbatch=None)
    together(2, train_without_result, tmp_path / "two", {"microbatch": 1})
    two = checkpoints.load_newest(tmp_path / "two")
    assert torch.allclose(one["beside"]["weight"], two["beside"]["weight"], rtol=0, atol=1e-6)
    assert all(torch.allclose(one["model"][name], two["model"][name], rtol=0, atol=1e-5) for name in one["model"])


def train_without_result(folder, options):
    train(folder, **options)


def test_another_run_of_the_same_diffusion_begins_with_a_fresh_weighting(tmp_path):
    diffusion = learned()
    first, second = (train(tmp_path / name, steps=2, diffusion=diffusion) for name in ("first", "second"))
    assert same(first["beside"], second["beside"]) and torch.equal(diffusion.weighting.weight, torch.zeros(64))


def test_its_weights_do_not_decay_and_its_rate_follows_the_network_s(tmp_path):
    learner = tiny_trainer().learner(tiny_run(tmp_path / "run", diffusion=learned()))
    network, beside = learner.optimizer.param_groups
    assert beside["params"] == list(learner.beside.parameters()) and beside["weight_decay"] == 0
    learner.step(next(batches(tiny_images(), batch_size=4, seed=1)), 0.5)
    assert network["lr"] == beside["lr"] == 0.5e-3


def test_sharded_weights_have_no_weighting_beside_them(tmp_path):
    trainer, run = tiny_trainer(parallel="fsdp"), tiny_run(tmp_path / "run", diffusion=learned())
    with pytest.raises(ValueError, match=r"^train\.parallel=fsdp [^\n]*LearnedUncertainty; set train\.parallel=ddp$"):
        check_weighting(trainer, run)


class Recorder(Uniform):
    """Remembers the random numbers that it was given."""

    def draw(self, u, process):
        self.u = u
        return super().draw(u, process)


def drawn(world, monkeypatch, *, stratified, step=3, batch_size=12):
    """The random numbers of a batch of all processes."""
    learner, found = tiny_learner(), []
    learner.schedule_sampler = Recorder(stratified=stratified)
    for rank in range(world):
        monkeypatch.setenv("WORLD_SIZE", str(world))
        stream = batches(tiny_images(), batch_size=batch_size, seed=1, start=step, rank=rank, world=world)
        learner.draw(next(stream))
        found.append(learner.schedule_sampler.u)
        monkeypatch.undo()
    return torch.cat(found)


def test_strata_are_one_image_s_each_on_however_many_processes(monkeypatch):
    plain, spread = (drawn(1, monkeypatch, stratified=stratified) for stratified in (False, True))
    assert torch.equal(spread, (torch.arange(12) + plain.double() + HALF_CELL) / 12)
    assert torch.equal(drawn(3, monkeypatch, stratified=True), spread)


def test_the_log_shows_the_loss_by_quarter_of_the_way(tmp_path):
    train(tmp_path / "run", steps=2, schedule_sampler=Normal(mean=0.0, std=4.0), log_every=1)
    for line in MetricsFile.read(tmp_path / "run" / "metrics.jsonl"):
        quarters = {name for name in line if name.startswith("loss_q")}
        assert len(quarters) >= 2 and all(math.isfinite(line[name]) for name in quarters)
