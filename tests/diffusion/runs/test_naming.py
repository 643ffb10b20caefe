"""The name of a run."""

import re

import pytest

from diffusion.runs.naming import MOST_LETTERS, check_name, run_name, sweep_name
from diffusion.runs.resuming import check_resumable


@pytest.mark.parametrize(
    "overrides, name",
    [
        ([], "default"),
        (["train.max_steps=5", "logger.mode=offline", "device=cpu", "runs=/tmp", "sampler=ddim"], "default"),
        (["seed=1", "model=unet_64"], "model-unet_64+seed-1"),
        (["+experiment=x", "~logger"], "experiment-x"),
        (["train.preview.every=5"], "default"),
        (["logger=both", "logger@logger.second=mine", "sampler/spacing@sampler.spacing=even"], "default"),
        (["diffusion/loss=simple", "train.optimizer.lr=1e-4"], "diffusion-loss-simple+train.optimizer.lr-1e-4"),
        (["train=debug"], "train-debug"),
        (["train/evaluations=[likelihood]", "train.evaluate_every=5", "objective=loss"], "default"),
        (["data.root=/a/b c"], "data.root-a-b-c-a621798f"),
        (["data.root=사진"], "data.root-d80e7110"),
        (["model.attention_resolutions=[8,4]"], "model.attention_resolutions-8-4"),
    ],
)
def test_a_name_is_made_of_what_makes_the_experiment(overrides, name):
    assert run_name(overrides) == name


def test_settings_that_a_set_of_images_calls_incidental_make_no_name():
    assert run_name(["data.on_error=skip", "data.image_size=8"], ("data.on_error",)) == "data.image_size-8"
    assert sweep_name(["-m", "data.workers=1,2"], ("data.workers",)) == "sweep"
    old, new = ({"data": {"workers": workers, "root": "a"}} for workers in (1, 2))
    assert check_resumable(old, new, ("data.workers",)) == ["data.workers: 1 -> 2"]
    with pytest.raises(ValueError, match="another experiment"):
        check_resumable(old, new)


def test_other_values_give_other_names():
    values = ["/a/b", "a/b", "/a-b", "a-b", "a b", "사진", "寫真", "-1", "1", "..", "[a,b]", ""]
    assert len({run_name([f"data.root={value}"]) for value in values}) == len(values)


@pytest.mark.parametrize("name", ["", ".", "./", "..", "a/../b", "/tmp/x"])
def test_a_name_that_is_no_folder_of_its_own_is_refused(name):
    with pytest.raises(ValueError, match=r"no folder below the runs folder; set name=my_run"):
        check_name(name)
    check_name("a..b/c")


def test_the_order_of_the_words_does_not_matter():
    assert run_name(["a=1", "b=2"]) == run_name(["b=2", "a=1"])


def test_long_names_are_short_and_stay_different():
    long = [f"model.something_{n}={n}" for n in range(30)]
    one, other = run_name([*long, "z=1"]), run_name([*long, "z=2"])
    assert one != other and len(one) == len(other) == MOST_LETTERS


@pytest.mark.parametrize("override", ["name=../x", "data.root=../../etc", "data.root=..", "x=['a b']", "seed=1/../x"])
def test_a_name_stays_inside_the_runs_folder_and_needs_no_quotes(override):
    name = run_name([override])
    assert re.fullmatch(r"[\w.+-]+", name, re.ASCII) and name not in (".", "..")


def test_a_setting_that_only_sounds_like_another_makes_an_experiment():
    assert run_name(["named=1", "loggers=2"]) == "loggers-2+named-1"


def test_a_sweep_is_named_by_what_makes_its_experiments():
    words = ["-m", "model.heads=1,2", "train=debug", "hydra.sweep.dir=x", "hydra/launcher=two_at_once"]
    assert sweep_name(words) == "sweep+model.heads-1-2+train-debug"
    assert sweep_name([*words, "train.max_steps=9", "objective=loss", "runs=/tmp"]) == sweep_name(words)
    assert sweep_name(["-m"]) == "sweep"
    assert len(sweep_name(["-m", "x=" + "y" * 300])) == MOST_LETTERS
