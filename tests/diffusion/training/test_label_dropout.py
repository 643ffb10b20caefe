"""Images that come without their label."""

import pytest
import torch
from tiny_training import CPU, tiny_diffusion, tiny_learner, tiny_network, tiny_run, tiny_trainer

from diffusion import Classification, Label, Trained, Uniform
from diffusion.config.preflight import check_label_dropout
from diffusion.data.conditions import BY_LABEL, blanks
from diffusion.data.loader import Batch
from diffusion.inference.prompts import prompts_from, rows_in_turn


def batch_of(count, first=0):
    y = torch.arange(count) % 2
    return Batch(torch.zeros(count, 1, 8, 8), {"y": y}, torch.arange(first, first + count))


def test_so_many_labels_are_left_out_as_asked_wherever_an_image_stands():
    learner = tiny_learner(label_dropout=0.2, blank=blanks(BY_LABEL, ["a", "b"]))
    batch = batch_of(4000)
    told = learner.without_labels(batch.positions, batch.condition)["y"]
    lost = told == 2
    assert torch.equal(told[~lost], batch.condition["y"][~lost])
    assert abs(lost.float().mean().item() - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5
    for first, size in ((0, 7), (100, 33)):  # in other batches, on other processes
        part = batch_of(size, first)
        own = learner.without_labels(part.positions, {"y": batch.condition["y"][first : first + size]})["y"]
        assert torch.equal(own, told[first : first + size])


def test_level_and_noise_are_those_with_labels():
    batch = batch_of(8)
    plain, dropping = tiny_learner(), tiny_learner(label_dropout=0.5, blank=blanks(BY_LABEL, ["a", "b"]))
    assert all(torch.equal(a, b) for a, b in zip(plain.draw(batch), dropping.draw(batch), strict=True))
    assert plain.without_labels(batch.positions, batch.condition) is batch.condition


def test_stratified_levels_lie_one_in_each_part_of_the_way():
    learner = tiny_learner()
    learner.schedule_sampler = Uniform(stratified=True)
    assert learner.draw(batch_of(4, first=12)).t.tolist() == [0, 1, 2, 3]


def test_no_class_is_asked_for_that_stands_for_none():
    assert Label().blank(10).tolist() == [10] and Label().in_turn(10).tolist() == [*range(10)]
    assert rows_in_turn(BY_LABEL, ["a", "b"])["y"].tolist() == [0, 1]
    assert prompts_from(BY_LABEL, None, 4, classes=["a", "b"]).arguments["y"].tolist() == [0, 1]


def trained(dropout):
    return Trained(
        network=tiny_network(), diffusion=tiny_diffusion(), shape=(1, 8, 8), classes=["a", "b"],
        config={"train": {"label_dropout": dropout}}, step=1, weights="raw", device=CPU,
    )  # fmt: skip


def test_a_trained_model_knows_what_stands_for_nothing():
    assert trained(0.0).denoiser.blank == {} and trained(0.1).denoiser.blank["y"].tolist() == [2]


def test_who_has_no_label_to_leave_out_is_told_so(tmp_path):
    run = tiny_run(tmp_path, conditions={})
    with pytest.raises(ValueError, match=r"^train\.label_dropout=0\.1 has no label to leave out[^\n]*$"):
        check_label_dropout(tiny_trainer(label_dropout=0.1), run)
    run = tiny_run(tmp_path)
    run.diffusion.loss = Classification()
    with pytest.raises(ValueError, match="a classifier learns from every label"):
        check_label_dropout(tiny_trainer(label_dropout=0.1), run)
    with pytest.raises(ValueError, match="must lie in"):
        tiny_trainer(label_dropout=1.0)
