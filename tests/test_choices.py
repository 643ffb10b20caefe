"""Choices of levels that need each other train, or are refused in a line; test_config.py tries each by itself."""

import math
from pathlib import Path

import hydra
import pytest

import diffusion
from diffusion.config import build
from diffusion.config.resolvers import register_resolvers
from diffusion.runs.metrics import MetricsFile
from diffusion.training.loop import fit

CONF = Path(__file__).parents[1] / "conf"
TINY = (
    "name=tiny", "device=cpu", "data=synthetic", "data.image_size=8", "data.num_images=8", "data.num_classes=2",
    "model.base_channels=8", "model.channel_mult=[1]", "model.attention_resolutions=[]", "train.max_steps=1",
    "train.batch_size=8", "train.microbatch=4", "train.preview.every=0", "logger.mode=disabled",
    "logger.group=null",
)  # fmt: skip
CHAIN = ("diffusion=linear", "diffusion.steps=50", "diffusion/prediction=velocity")
CONTINUUM = ("diffusion=continuous",)
LAWS = sorted(path.stem for path in (CONF / "train/schedule_sampler").glob("*.yaml"))
CHOICES = {
    "learned_uncertainty without steps": (*CONTINUUM, "diffusion/weighting=learned_uncertainty"),
    **{f"{name} law without steps": (*CONTINUUM, f"train/schedule_sampler={name}") for name in LAWS},
    "a law at zero SNR": (*CHAIN, "diffusion/schedule=zero_terminal", "train/schedule_sampler=normal"),
    "schedules in schedules": (
        *CHAIN, "diffusion/schedule=zero_terminal", "diffusion/schedule@diffusion.schedule.of=shifted",
        "diffusion.schedule.of.image_size=128", "diffusion/schedule@diffusion.schedule.of.of=sigmoid",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def compose():
    """compose(override, ...) -> the configuration that `python train.py override ...` gets."""
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *words: hydra.compose("train", [*TINY, *words])


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_trains(compose, tmp_path, name):
    trainer, run = build.training(compose(*CHOICES[name]), tmp_path)
    assert fit(trainer, run) == 0
    (line,) = MetricsFile.read(tmp_path / "metrics.jsonl")
    assert math.isfinite(line["loss"]) and line["grad_norm"] > 0


def test_a_schedule_in_schedules_is_the_one_that_was_asked_for(compose, tmp_path):
    schedule = build.training(compose(*CHOICES["schedules in schedules"]), tmp_path)[1].diffusion.schedule
    assert isinstance(schedule, diffusion.ZeroTerminal) and isinstance(schedule.of, diffusion.Shifted)
    assert isinstance(schedule.of.of, diffusion.Sigmoid)


REFUSED = {
    "diffusion/schedule=zero_terminal": "Epsilon says nothing of the image .*; set diffusion/prediction=velocity",
    "diffusion/schedule=shifted": "diffusion.schedule.image_size has no value; give it one",
    "diffusion/schedule=even_log_snr": "schedule needs a diffusion.*Schedule, and diffusion.EvenLogSNR is none",
    "train/schedule_sampler=normal train.schedule_sampler.std=0": "std=0.* set train.schedule_sampler.std=1",
    "diffusion/schedule=sigmoid diffusion.schedule.tau=0": "tau=0.* set diffusion.schedule",
    "diffusion/weighting=p2 diffusion.weighting.gamma=-1": "gamma=-1.* set diffusion.weighting.gamma=1",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(compose, tmp_path, words):
    with pytest.raises(ValueError, match=REFUSED[words]) as caught:
        build.training(compose("diffusion=linear", *words.split()), tmp_path)
    assert "\n" not in str(caught.value)
