"""evaluate.py on a run of seconds."""

import json
from importlib.util import find_spec
from pathlib import Path

import hydra
import pytest
import torch
from commands import ROOT, command, command_anew

from diffusion.config import build
from diffusion.config.resolvers import register_resolvers
from diffusion.inference.trained import Trained

FID_NEEDS = r"train\.evaluations\.fid\.features\.weights" if find_spec("torch_fidelity") else "type: pip install"


def test_a_run_is_measured_on_the_test_split_of_its_data_and_what_does_not_fit_is_one_line(tmp_path):
    small = ["data.image_size=8", "model.attention_resolutions=[]", "model.channel_mult=[1]", "train.max_steps=1"]
    command(tmp_path, "train.py", "train=debug", "train.preview.every=0", *small, "logger.mode=disabled",
            f"runs={tmp_path}", "name=a")  # fmt: skip
    run = f"checkpoint={tmp_path / 'a'}"
    done = command_anew(tmp_path, "evaluate.py", run, "evaluation.steps=3", "evaluation.num_images=4")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "a" / "evaluation").iterdir()
    assert {file.name for file in folder.iterdir()} == {"result.json", "terms.npz", "terms.png"}
    result = json.loads((folder / "result.json").read_text())
    assert result["data"]["split"] == "test" and result["held_out"]
    assert f"{result['bits_per_dim']:.3f} +- " in done.stdout

    refused = command(tmp_path, "evaluate.py", run, "data=digits", "data.image_size=16")
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    assert "data.image_size=8" in refused.stderr
    assert list((tmp_path / "a" / "evaluation").iterdir()) == [folder]


TINY = (
    "train=debug",
    "logger.group=null",
    "model.attention_resolutions=[]",
    "model.channel_mult=[1]",
    "data.image_size=8",
)


def training(*overrides):
    register_resolvers()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = hydra.compose("train", ["name=a", *TINY, *overrides])
    return build.training(config, Path())


def test_training_is_measured_on_images_that_it_does_not_see_and_labels_stay_for_the_recogniser():
    trainer, run = training("train/evaluations=[likelihood,quality]", "model.num_classes=null")
    assert {type(evaluation).__name__ for evaluation in trainer.evaluations.values()} == {"Likelihood", "Quality"}
    model = Trained(run.model, run.diffusion, (1, 8, 8), None, run.config, 1, "raw", torch.device("cpu"))
    subject = run.subject(model)
    assert (subject.title, subject.training_title, subject.held_out) == ("digits test", "digits train", True)
    assert len(subject.images) == 355 and subject.examples([0]).condition == {}
    assert len(subject.training_images()) == 1442 and len(subject.training_images().classes) == 10
    assert run.conditions == {}


def test_what_has_no_test_split_is_measured_on_what_it_learned_from():
    _, run = training("data=synthetic", "data.image_size=8", "train/evaluations=[likelihood]")
    classes = run.config["classes"]
    subject = run.subject(
        Trained(run.model, run.diffusion, run.images.shape, classes, run.config, 1, "raw", torch.device("cpu"))
    )
    assert not subject.held_out and len(subject.images) == len(run.images)


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["train/evaluations=[fid]"], FID_NEEDS),
        (
            ["train/evaluations=[likelihood]", "train.evaluations.likelihood.steps=5000"],
            r"train\.evaluations\.likelihood",
        ),
        (["train/evaluations=[recognition]", "model.num_classes=null"], "unconditional"),
        (["train/evaluations=[quality]", "data=synthetic", "data.image_size=8", "model.num_classes=null"], "no labels"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(overrides, message):
    with pytest.raises(ValueError, match=message):
        training(*overrides)


def test_every_evaluation_in_training_builds_and_checks():
    known = {path.stem for path in (ROOT / "conf" / "train" / "evaluations").glob("*.yaml")}
    trainer, _ = training(f"train/evaluations=[{','.join(sorted(known - {'fid'}))}]")
    assert trainer.evaluations.keys() == known - {"fid"}  # which needs weights, as is tested above
