"""What Hydra cannot take of a command line is said in one line with what to type, before Hydra prints how to use it."""

import re
import sys
from pathlib import Path

import pytest

from diffusion.cli.help import answer_help
from diffusion.cli.words import check_words

ROOT = Path(__file__).parents[3]


def refused(line: str) -> str:
    """What is said of a command line: a script and its words."""
    script, *words = line.split(" ")
    with pytest.raises(ValueError) as caught:
        check_words(str(ROOT / script), words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "line, message",
    [
        ("train.py --batch_size 32", r"no flag --batch_size; .* type: train\.batch_size=32$"),
        ("train.py --lr=3e-4", r"type: train\.optimizer\.lr=3e-4$"),
        ("train.py --class_cond True", r"type: model\.num_classes=null; with labelled data"),
        ("train.py --resume", r"type: the same command again"),
        ("train.py --num_samples 5", r"type: python sample\.py num_images=5$"),
        ("sample.py --num_samples 5", r"type: num_images=5$"),
        ("sample.py --batch_size 7", r"type: batch_size=7$"),
        ("train.py --seed 7", r"no flag --seed; .* such as seed=7"),
        ("train.py --foo", r"no flag --foo; settings are typed key=value"),
        ("train.py --conf x", r"no flag --conf; "),
        ("train.py --cfg what", r"--cfg.* invalid choice: 'what'"),
        ("train.py --config-dir", r"--config-dir.* expected one argument"),
        ("train.py seed=1 -m name=x", r"name=x is apart .*put flags such as -m before or behind"),
        ("sample.py runs/default", r"type checkpoint=runs/default$"),
        ("train.py digits_modern", r"type experiment=digits_modern$"),
        ("train.py linear", r"type diffusion/schedule=linear or diffusion=linear$"),
        ("train.py foo", r"foo is no setting; settings are typed key=value"),
        ("train.py =3", r"=3 is no setting"),
        ("train.py ~train.preview", r"would delete a setting.*leave ~train\.preview out"),
        ("train.py data=5", r"no data 5; there are cifar10, digits"),
        ("train.py model=", r"no model without a name; there are"),
        ("train.py experiment=null", r"no experiment null; there are cifar10_edm"),
        ("train.py model=[unet_tiny,unet_64]", r"names 2 options, and model is one; type model=unet_tiny$"),
        ("train.py diffusion/schedule=[linear,cosine]", r"names 2 options.*type diffusion/schedule=linear$"),
        ("train.py logger=[wandb,tensorboard]", r"logger is one; type logger=wandb \(two loggers: logger=both\)$"),
        ("train.py name=${", r"cannot be read \(.*\); in quotes it is"),
        ("train.py seed=" + "{a:" * 400 + "1" + "}" * 400, r"cannot be read \(maximum recursion"),
    ],
    ids=lambda text: text[:30],
)
def test_a_word_that_cannot_be_taken_is_one_line_that_says_what_to_type(line, message):
    assert re.search(message, refused(line)), refused(line)


def test_what_hydra_takes_is_left_to_it():
    words = [
        "seed=1,2",
        "model=unet_tiny",
        "model.heads=2",
        "hydra.sweeper.params={a: 1}",
        "conditions=[label,small_image]",
    ]
    words += ["train/evaluations=[likelihood,quality]", "model.attention_resolutions=[8,4]", "sampler=[ddim]"]
    check_words(str(ROOT / "train.py"), ["-m", *words, "+mine=1"])
    check_words(str(ROOT / "train.py"), [*words, "--cfg", "job"])


@pytest.mark.parametrize("words", [["--config-dir", "/nowhere"], ["--config-dir=/nowhere"]])
def test_a_folder_that_is_not_there_is_one_line(words):
    with pytest.raises(ValueError, match=r"^--config-dir /nowhere is no folder; give one with groups"):
        check_words(str(ROOT / "train.py"), words)


def test_the_version_is_this_programs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", "--version"])
    with pytest.raises(SystemExit):
        answer_help(str(ROOT / "train.py"))
    assert re.fullmatch(r"hydra-diffusion [\d.]+\n", capsys.readouterr().out)
