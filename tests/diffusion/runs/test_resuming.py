"""What may change when a run goes on."""

import pytest

from diffusion.runs.resuming import check_resumable, may_change


def test_only_what_leaves_the_experiment_the_same_or_belongs_to_its_course_may_change():
    assert may_change("train.max_steps") and may_change("train.optimizer.lr") and may_change("logger.mode")
    assert not may_change("model.dropout") and not may_change("train.batch_size") and not may_change("seed")


def test_only_what_changes_nothing_else_may_change_in_a_run():
    old = {"seed": 0, "train": {"max_steps": 5, "optimizer": {"lr": 1e-3}}, "model": {"heads": 2}}
    new = {"seed": 0, "train": {"max_steps": 9, "optimizer": {"lr": 1e-4}}, "model": {"heads": 2}}
    assert check_resumable(old, new) == ["train.max_steps: 5 -> 9", "train.optimizer.lr: 0.001 -> 0.0001"]
    assert check_resumable(old, old) == []
    with pytest.raises(ValueError, match=r"another experiment \(model.heads: 2 -> 4; seed: 0 -> 1\); .*name="):
        check_resumable(old, {**new, "seed": 1, "model": {"heads": 4}})
    with pytest.raises(ValueError, match=r"model\.dropout: None -> 0.1"):
        check_resumable(old, {**old, "model": {"heads": 2, "dropout": 0.1}})


def test_a_group_that_is_new_or_gone_is_told_by_its_name():
    measures = {"likelihood": {"steps": 100, "clip": True}, "quality": {"sampler": {"steps": 50}, "num_images": 200}}
    old, new = ({"train": {"max_steps": 5, "evaluations": evaluations}} for evaluations in ({}, measures))
    added = ["train.evaluations.likelihood: added", "train.evaluations.quality: added"]
    assert check_resumable(old, new) == added
    assert check_resumable(new, old) == [line.replace("added", "removed") for line in added]
    nothing = {"train": {"max_steps": 5, "evaluations": None}}
    assert check_resumable(old, nothing) == [] and check_resumable(nothing, new) == added
    more = {**measures, "likelihood": {"steps": 50, "clip": True}}
    changed = {"train": {"max_steps": 5, "evaluations": more}}
    assert check_resumable(new, changed) == ["train.evaluations.likelihood.steps: 100 -> 50"]
