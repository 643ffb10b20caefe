"""The name of a run."""

import re

import pytest

from diffusion.run_folder import LONGEST, may_change, name_of, sweep_of


@pytest.mark.parametrize(
    "overrides, name",
    [
        ([], "default"),
        (["train.max_steps=5", "logger.mode=offline", "device=cpu", "runs=/tmp", "sampler=ddim"], "default"),
        (["seed=1", "model=unet_64"], "model-unet_64+seed-1"),
        (["+experiment=x", "~logger"], "experiment-x"),
        (["train/preview=none", "train.preview.every=5"], "default"),
        (["train=debug"], "train-debug"),
        (["data.root=/a/b c"], "data.root-a-b-c"),
        (["model.attention_resolutions=[8,4]"], "model.attention_resolutions-8-4"),
    ],
)
def test_a_name_is_made_of_what_makes_the_experiment(overrides, name):
    assert name_of(overrides) == name


def test_the_order_of_the_words_does_not_matter():
    assert name_of(["a=1", "b=2"]) == name_of(["b=2", "a=1"])


def test_long_names_are_short_and_stay_different():
    long = [f"model.something_{n}={n}" for n in range(30)]
    one, other = name_of([*long, "z=1"]), name_of([*long, "z=2"])
    assert one != other and len(one) == len(other) == LONGEST


@pytest.mark.parametrize("override", ["name=../x", "data.root=../../etc", "data.root=..", "x=['a b']", "seed=1/../x"])
def test_a_name_stays_inside_the_runs_folder_and_needs_no_quotes(override):
    name = name_of([override])
    assert re.fullmatch(r"[\w.+-]+", name) and name not in (".", "..")


def test_a_setting_that_only_sounds_like_another_makes_an_experiment():
    assert name_of(["named=1", "loggers=2"]) == "loggers-2+named-1"
    assert may_change("train.max_steps") and may_change("train.optimizer.lr") and may_change("logger.mode")
    assert not may_change("model.dropout") and not may_change("train.batch_size") and not may_change("seed")


def test_the_runs_of_a_sweep_share_a_name_that_a_single_run_does_not_have():
    words = ["-m", "model.heads=1,2", "train=debug", "hydra.sweep.dir=x"]
    assert sweep_of(words) == "sweep+model.heads-1-2+train-debug"
    assert sweep_of(["--multirun", *words[1:]]) == sweep_of(words)
    assert sweep_of(words[1:]) is None
    assert len(sweep_of(["-m", "x=" + "y" * 300])) == LONGEST
