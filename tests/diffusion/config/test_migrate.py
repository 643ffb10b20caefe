"""Settings of before are read in today's words, and lack nothing that was added since."""

import sys
from pathlib import Path

import pytest
import yaml

from diffusion.config.migrate import complete, migrate, public_name
from diffusion.config.signature import find_class
from diffusion.config.trust import is_trusted, targets
from diffusion.runs.resuming import check_resumable

BEFORE = yaml.safe_load((Path(__file__).parents[2] / "run_before" / "run" / "config.yaml").read_text())


@pytest.mark.parametrize(
    "before, now",
    [
        ("diffusion.schedules.Cosine", "diffusion.Cosine"),
        ("diffusion.process.schedules.Cosine", "diffusion.Cosine"),
        ("diffusion.training.optimizer.adamw", "diffusion.AdamW"),
        ("unet.unet.UNet", "unet.UNet"),
        ("unet.UNet", "unet.UNet"),
        ("torch.optim.SGD", "torch.optim.SGD"),
        ("my_diffusion.nets.DiT", "my_diffusion.nets.DiT"),
        ("diffusion.config.build.instantiate", "diffusion.config.build.instantiate"),
        (3, 3),
    ],
)
def test_a_class_is_named_by_its_package(before, now):
    assert public_name(before) == now


def test_every_class_of_a_run_of_before_is_found_by_its_public_name():
    named = [target for _, target in targets(migrate(BEFORE))]
    assert len(named) == 13
    assert all(is_trusted(target, ()) and isinstance(find_class(target), type) for target in named)
    assert "steps" not in migrate(BEFORE)["train"]["schedule_sampler"]
    assert "steps" in BEFORE["train"]["schedule_sampler"], "the original is left alone"


def test_a_setting_that_was_added_later_counts_as_its_default():
    lacking = {key: value for key, value in BEFORE.items() if key not in ("objective", "seed")}
    lacking["diffusion"] = {**BEFORE["diffusion"], "schedule": {"_target_": "diffusion.schedules.Cosine"}}
    lacking["train"] = {key: value for key, value in BEFORE["train"].items() if key != "ema_rates"}
    now = complete(BEFORE)
    assert complete(lacking)["diffusion"] == now["diffusion"] and complete(lacking)["seed"] == 0
    with pytest.raises(ValueError, match=r"train.ema_rates: \[0.9999\] -> \[0.9\]"):
        check_resumable(complete(lacking), now)
    lacking["train"]["ema_rates"] = [0.9]
    assert check_resumable(complete(lacking), now) == []


def test_what_a_stranger_names_is_not_looked_up(tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text("class Net:\n    def __init__(self, *, width: int = 3): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    node = {"model": [{"_target_": "odd.Net"}]}
    assert migrate(node) == node and "odd" not in sys.modules
    assert migrate(node, ["odd.Net"]) == {"model": [{"_target_": "odd.Net", "width": 3}]}
    assert migrate({"_target_": "diffusion.Vanished", "a": 1}) == {"_target_": "diffusion.Vanished", "a": 1}


@pytest.mark.parametrize("garbage", [None, [], "text", {"model": None, "train": 3, "data": {"_target_": {}}}])
def test_garbage_is_left_to_who_reads_it(garbage):
    now = complete(garbage)
    assert now == garbage or (now["model"] is None and now["data"] == {"_target_": {}})
