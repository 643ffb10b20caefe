"""The name of a run."""

import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from diffusion.runs.former_names import former_run_name
from diffusion.runs.naming import LAST_WORD, MOST_LETTERS, check_name, run_name, shell_override, sweep_name
from diffusion.runs.resuming import check_resumable


@pytest.mark.parametrize(
    "overrides, name",
    [
        ([], "default"),
        (["train.max_steps=5", "logger.mode=offline", "device=cpu", "runs=/tmp", "sampler=ddim"], "default"),
        (["train.preview.every=5"], "default"),
        (["logger=both", "logger@logger.second=mine", "sampler/spacing@sampler.spacing=even"], "default"),
        (["train/evaluations=[likelihood]", "train.evaluate_every=5", "objective=loss"], "default"),
        (["seed=1", "model=unet_64"], "unet_64+seed-1"),
        (["+experiment=x", "~logger"], "x"),
        (["experiment=digits_classifier", "data=image_folder"], "digits_classifier+image_folder"),
        (["diffusion/loss=simple", "train.optimizer.lr=1e-4"], "loss-simple+lr-1e-4"),
        (["train=debug", "train.schedule_sampler.mean=-1.2"], "debug+train.schedule_sampler.mean--1.2"),
        (["data.image_size=[100,60]", "model.channel_mult=[]"], "channel_mult-empty+image_size-100-60"),
        (["conditions=[label,mine]", "~conditions.label"], "conditions-label-mine+without-conditions.label"),
        (["data=image_folder", "data.root=/tmp/user/photos"], "image_folder+root-photos-aodwhx"),
        (["data.root='/a/b c/'"], "root-b-c-sf4i44"),
        (["data.root=사진"], "root-xz3g6x"),
        (["seed=1", "seed=2"], "seed-2"),
    ],
)
def test_a_name_is_made_of_what_makes_the_experiment(overrides, name):
    assert run_name(overrides) == name


def test_what_is_not_well_known_is_named_in_full_and_never_mistaken_for_what_is():
    alike = [
        "model=own", "data=own", "experiment=own", "experiment=unet_64", "model=unet_64", "data=unet_64",
        "diffusion=linear", "diffusion/schedule=linear", "diffusion/path=linear", "experiment=linear", "data.steps=4",
        "diffusion.steps=4", "experiment=steps-4", "experiment=default", "experiment=null", "model.image_size=4",
        "data.image_size=4", "~conditions", "experiment=conditions", "diffusion.weighting=null",
        "diffusion/weighting=null", "data.root=a/b", "data.root=b", "data.root=[a,b]", "data.root=a-b",
    ]  # fmt: skip
    assert len({run_name([override]) for override in ["seed=4", *alike]}) == len(alike) + 1
    assert len(set(LAST_WORD.values())) == len(LAST_WORD)


def test_settings_that_a_set_of_images_calls_incidental_make_no_name():
    assert run_name(["data.on_error=skip", "data.image_size=8"], ("data.on_error",)) == "image_size-8"
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
    assert one != other and max(len(one), len(other)) <= MOST_LETTERS
    whole = [f"model.something_{n}-{n}" for n in range(30)]
    assert set(one.split("+")[:-1]) <= set(whole) and re.fullmatch(r"[a-z2-7]{6}", one.split("+")[-1])


@pytest.mark.parametrize(
    "override",
    [
        "data.root=../../etc", "data.root=..", "x=['a b']", "seed=1/../x", "x=${y}", "x={a: 1}", "x=-1", "x=", "~x",
        "x@y=z", "x=$(reboot)", "experiment=../x", "x=[[1,2],[3]]", "a/b=c", "x=[-3,6]", "x=1e+4", "x=a\\,b",
    ],
)  # fmt: skip
def test_a_name_stays_inside_the_runs_folder_and_a_shell_and_hydra_take_it_as_it_is(override):
    name = run_name([override])
    assert re.fullmatch(r"[\w.+-]+", name, re.ASCII) and name not in (".", "..")
    assert shlex.split(name) == [name]
    assert OverridesParser.create().parse_override(f"checkpoint=runs/{name}").value() == f"runs/{name}"


def test_a_setting_that_only_sounds_like_another_makes_an_experiment():
    assert run_name(["named=1", "loggers=2"]) == "loggers-2+named-1"


def test_a_sweep_is_named_by_what_makes_its_experiments():
    words = ["-m", "model.heads=1,2", "train=debug", "hydra.sweep.dir=x", "hydra/launcher=two_at_once"]
    assert sweep_name(words) == "sweep+debug+heads-1-2"
    assert sweep_name([*words, "train.max_steps=9", "objective=loss", "runs=/tmp"]) == sweep_name(words)
    assert sweep_name(["-m"]) == "sweep"
    assert len(sweep_name(["-m", *(f"model.something_{n}=1,2" for n in range(30))])) <= MOST_LETTERS


def test_the_former_name_of_a_command_stays_what_it_was():
    words = ["data=image_folder", "data.root=/tmp/user/photos", "data.image_size=256", "diffusion.steps=40"]
    name = "data.image_size-256+data.root-tmp-user-photos-a2a074d3+data-image_folder+diffusion.steps-40"
    assert former_run_name(words) == name and former_run_name([]) == "default"
    long = former_run_name([*words, "train.schedule_sampler=x"])
    assert len(long) == 100 and long.startswith(f"{name[:91]}-")


@pytest.mark.parametrize("value", ["a b", "it's", "a\\b", "a\\'b", "end\\", "end\\\\", "'", "a, [b]: ${c}"])
def test_a_value_comes_through_a_shell_and_hydra_as_it_is(value):
    (word,) = shlex.split(shell_override("checkpoint", value))
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.value() == value
