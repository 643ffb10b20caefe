"""The open house: a researcher's own package of eleven ideas, each one file and one YAML; nothing here changes for it.

tests/extension is that package and its conf/, copied outside of the repository and used as its author would: trained,
resumed, drawn from, measured. CONTRIBUTING.md shows these very files.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import hydra
import numpy as np
import pytest
from commands import ROOT, Done, command

from diffusion.cli.user_errors import check_schemas, one_line
from diffusion.config import build
from diffusion.config.resolvers import register_resolvers

TINY = ("--config-dir", "conf", "train=debug", "device=cpu", "train.preview.images=2", "sampler.steps=3", "name=own")
OWN = (
    "model=convnet", "data=checkers", "diffusion=linear", "diffusion.steps=50", "diffusion/schedule=quadratic",
    "diffusion/prediction=score", "diffusion/weighting=truncated", "train/schedule_sampler=logit_normal",
    "sampler=heun", "conditions=[]", "logger=both", "logger.first.mode=disabled", "logger@logger.second=loss_table",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The package and its conf/ in a folder of their own."""
    folder = tmp_path_factory.mktemp("researcher")
    shutil.copytree(Path(__file__).parent / "extension", folder, dirs_exist_ok=True)
    return folder


def run(folder: Path, script: str, *words: str) -> Done:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return command(folder, script, *words, PYTHONPATH=path)


@pytest.fixture(scope="module")
def trained(place):
    """The folder, in which the package's own model was trained two steps, and then two more."""
    first = run(place, "train.py", *TINY, *OWN, "train.max_steps=2")
    assert first.returncode == 0, first.stderr
    again = run(place, "train.py", *TINY, *OWN, "train.max_steps=4")
    assert again.returncode == 0 and "Resuming at step 2" in again.stderr, again.stderr
    lines = (place / "runs" / "own" / "loss.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == list("1234")
    return place


@pytest.mark.parametrize("sampler, task", [("heun", "draw"), ("multistep", "symmetric")])
def test_what_was_trained_draws_by_own_samplers_and_tasks_for_who_trusts_it(trained, sampler, task):
    words = ("sample.py", "--config-dir", "conf", "checkpoint=runs/own", "device=cpu", "num_images=2")
    done = run(trained, *words, f"sampler={sampler}", "sampler/spacing=log_snr", f"task={task}", "trust=[mine]")
    assert done.returncode == 0, done.stderr
    place = "" if task == "draw" else f"{task}_"
    (grid,) = (trained / "runs" / "own" / "samples").glob(f"{place}{sampler}_10_*/grid.png")
    x = np.load(grid.parent / "samples.npz")["arr_0"].astype(int)
    assert (np.abs(x - x[:, :, ::-1]).max() <= 1) == (task == "symmetric")


def test_a_checkpoint_that_names_the_package_is_refused_until_it_is_trusted(trained):
    refused = run(trained, "sample.py", "checkpoint=runs/own", "device=cpu", "num_images=2")
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "_target_=mine." in refused.stderr and "type 'trust=[mine]'" in refused.stderr


def test_what_was_trained_is_measured_by_an_own_measure_on_own_data(trained):
    words = ("checkpoint=runs/own", "evaluation=brightness", "evaluation.num_images=4", "sampler=multistep")
    done = run(trained, "evaluate.py", "--config-dir", "conf", *words, "device=cpu", "trust=[mine]")
    assert done.returncode == 0 and "of real images" in done.stdout, done.stderr
    assert list((trained / "runs" / "own" / "evaluation").glob("brightness_4_images_checkers_test*/result.json"))


def test_own_weights_begin_another_run_and_have_no_released_names(trained):
    done = run(trained, "train.py", *TINY[:-1], "name=next", *OWN, "train.max_steps=1", "init_from=runs/own")
    assert done.returncode == 0 and "Starting with the weights of runs/own" in done.stderr, done.stderr
    refused = run(trained, "export.py", "checkpoint=runs/own", "out=x.pt", "device=cpu", "trust=[mine]")
    assert re.fullmatch(r"export: ConvNet has no released names.*\n", refused.stderr) and refused.returncode == 1


def test_own_choices_take_part_in_a_sweep_in_other_processes(place):
    words = ("-m", *TINY[:-1], *OWN, "model.width=4,8", "train.max_steps=1", "train.preview.every=0")
    done = run(place, "train.py", *words, "hydra/launcher=two_at_once")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 2


WRONG = {
    "hidden": ("class Hidden:\n    def __init__(self, **options): pass\n", "hides its arguments behind .*name them"),
    "timeless": (
        "from torch import nn\nclass Timeless(nn.Module):\n    def __init__(self): super().__init__()\n"
        "    def forward(self, x): return x\n",
        r"Timeless.forward\(x\) takes no time",
    ),
    "object": (
        "class Object:\n    def __init__(self, *, part=open): pass\n",
        "default of part is an object.*make it None",
    ),
    "stranger": (
        "class Stranger:\n    def __init__(self): pass\n",
        "model needs a torch.nn.Module, and wrong.Stranger is none",
    ),
}


@pytest.fixture(scope="module")
def compose(place):
    """compose(override, ...) -> the configuration of train.py with the package's conf/."""
    sys.path.insert(0, str(place))
    (place / "wrong.py").write_text("".join(code for code, _ in WRONG.values()))
    for name in WRONG:
        (place / "conf" / "model" / f"{name}.yaml").write_text(
            f"defaults: [/schema/wrong.{name.capitalize()}@_here_, _self_]\n"
        )
    (place / "conf" / "model" / "bare.yaml").write_text("_target_: mine.network.ConvNet\nwidth: 4\n")
    (place / "conf" / "model" / "nowhere.yaml").write_text("defaults: [/schema/nowhere.Net@_here_, _self_]\n")
    register_resolvers()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield lambda *words: hydra.compose("train", [f"hydra.searchpath=[file://{place}/conf]", *words])
    sys.path.remove(str(place))


def error(compose, tmp_path, *words: str) -> str:
    """The line that a user reads."""
    with pytest.raises(Exception) as caught:
        config = compose("name=test", "logger.mode=disabled", "device=cpu", "data.image_size=8", *words)
        check_schemas(config)
        build.training(config, tmp_path)
    line = one_line(caught.value)
    assert "\n" not in line and "Error" not in line, line
    return line


@pytest.mark.parametrize("name", WRONG)
def test_a_class_that_does_not_fit_is_refused_in_one_line(compose, tmp_path, name):
    assert re.search(WRONG[name][1], error(compose, tmp_path, f"model={name}"))


def test_a_yaml_without_schema_and_a_package_that_is_not_there_are_refused_in_one_line(compose, tmp_path):
    bare = error(compose, tmp_path, "model=bare")
    assert "/schema/mine.network.ConvNet@_here_" in bare
    assert re.search(
        "there is no module nowhere; put its folder on PYTHONPATH", error(compose, tmp_path, "model=nowhere")
    )


def test_contributing_shows_these_very_files():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    shown = dict(re.findall(r"`((?:mine|conf)/[\w/]+\.(?:py|yaml))`:?\n\n```\w+\n(.*?)```", text, re.S))
    assert {"mine/schedule.py", "mine/multistep.py", "mine/network.py", "mine/dataset.py", "mine/measure.py"} <= {
        *shown
    }
    for name, content in shown.items():
        assert (Path(__file__).parent / "extension" / name).read_text() == content, name
