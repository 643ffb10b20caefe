"""precision=auto: what is taken, why, and that a run keeps it."""

import logging
import re
import time

import pytest
import torch
from tiny_training import tiny_network, tiny_run, tiny_trainer

import diffusion
from diffusion.compute import auto_precision
from diffusion.compute.auto_precision import Choice, compare, fastest_precision, missing_instructions
from diffusion.config import resume
from diffusion.inference import fast_network
from diffusion.training import settled_precision
from diffusion.training.settled_precision import settle_precision, steps_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def able(monkeypatch):
    monkeypatch.setattr(auto_precision, "missing_instructions", lambda device: None)


@pytest.mark.parametrize(
    "seconds, precision, said",
    [
        ({"float32": 4e-3, "bf16": 1e-3}, "bf16", r"^auto: bf16, [34]\.\d times as fast as float32 here$"),
        ({"float32": 1e-3, "bf16": 4e-3}, "float32", r"^auto: float32, bf16 is only 0\.\d\d times as fast here$"),
    ],
)
def test_the_faster_format_is_taken_and_the_ratio_said(able, seconds, precision, said):
    choice = fastest_precision(lambda kind, count: time.sleep(seconds[kind]), CPU, 4)
    assert choice.precision == precision
    assert re.search(said, str(choice))


@pytest.mark.parametrize(
    "seconds_of_one, of_more, timed, rounds",
    [
        (1.0, 1.0, 1, 3),
        (0.04, 0.04, 4, 7),
        (0.04, 0.0025, 32, 7),  # the quick digits on two cores: a step of 32 images takes thrice that of one
        (0.02, 0.0, 32, 7),  # a GPU that takes as long for one image as for many
    ],
)
def test_as_many_images_as_a_batch_are_timed_where_three_rounds_take_three_seconds(
    able, monkeypatch, seconds_of_one, of_more, timed, rounds
):
    counts = []
    monkeypatch.setattr(
        auto_precision, "elapsed", lambda work, device: work() or seconds_of_one + of_more * (counts[-1] - 1)
    )
    compare(lambda kind, count: counts.append(count), CPU, 32)
    assert max(counts) == counts[-1] == timed
    assert counts.count(timed) == 2 * (4 + rounds)  # of both formats; a first call and three more find how many


@pytest.mark.parametrize(
    "device, capabilities, said",
    [
        (CPU, {}, "this CPU has no instructions for bf16"),
        (CPU, {"avx512_bf16": True}, None),
        (CPU, {"amx_bf16": True}, None),
        (torch.device("mps"), {"amx_bf16": True}, "mps has no instructions for bf16"),
    ],
)
def test_a_device_without_a_faster_format_computes_in_float32_unmeasured(monkeypatch, device, capabilities, said):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert missing_instructions(device) == said
    if said:
        assert str(compare(lambda kind, count: pytest.fail("timed"), device, 1)) == f"auto: float32, {said}"


def test_a_gpu_that_emulates_bf16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    assert missing_instructions(GPU) == "Tesla T4 has no instructions for bf16"


def test_a_model_that_draws_names_what_was_taken(tmp_path, monkeypatch, capsys):
    model = tiny_run(tmp_path).trained(tiny_network().eval())

    def chosen(work, device, images):
        work("bf16", images)
        work("float32", images)
        return Choice("bf16", "2.0 times as fast as float32 here")

    monkeypatch.setattr(fast_network, "fastest_precision", chosen)
    fast = fast_network.make_fast(model, compile=False, precision="auto", batch_size=2)
    assert (fast.precision, fast.network.precision, fast.origin) == ("bf16", "bf16", "raw_bf16_step_0")
    assert capsys.readouterr().out == "auto: bf16, 2.0 times as fast as float32 here\n"


def test_timing_leaves_a_run_as_it_was(tmp_path, able):
    run, trainer = tiny_run(tmp_path), tiny_trainer(precision="auto")
    before, chance = [weight.clone() for weight in run.model.parameters()], torch.get_rng_state()
    settle_precision(trainer, run, before=None)
    assert trainer.precision == run.config["train"]["precision"] in ("float32", "bf16")
    assert all(map(torch.equal, before, run.model.parameters())) and torch.equal(chance, torch.get_rng_state())
    assert all(weight.grad is None for weight in run.model.parameters())
    steps_of(run)("bf16", 2)


def take(monkeypatch, precision):
    monkeypatch.setattr(settled_precision, "fastest_precision", lambda *timed: Choice(precision, "for the test"))


def train(folder, precision, steps):
    settings = {"batch_size": 4, "precision": precision, "ema_rates": (0.5,), "device": "cpu"}
    run = tiny_run(folder)
    images = diffusion.Synthetic(image_size=8, channels=1, num_classes=2, num_images=12)
    return diffusion.train(run.model, run.diffusion, images, folder=folder, max_steps=steps, **settings)


def test_a_run_that_goes_on_keeps_what_it_took_and_ends_equal_to_the_bit(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    take(monkeypatch, "bf16")
    train(tmp_path / "stopped", "auto", 1)
    take(monkeypatch, "float32")
    stopped, whole = train(tmp_path / "stopped", "auto", 2), train(tmp_path / "whole", "bf16", 2)
    assert "auto: bf16, as this run began" in caplog.text
    assert stopped.config["train"]["precision"] == "bf16"
    assert all(map(torch.equal, stopped.network.parameters(), whole.network.parameters()))


def test_auto_means_the_run_that_took_either():
    for taken in ("float32", "bf16"):
        old, new = ({"train": {"precision": precision, "max_steps": 1}} for precision in (taken, "auto"))
        assert resume.comparable_settings(old, new)[1]["train"]["precision"] == taken


@pytest.mark.parametrize(
    "most, precision, said",
    [
        ({"float32": 4, "bf16": 99}, "bf16", r"16 images fit into memory in it alone"),
        ({"float32": 0, "bf16": 99}, "bf16", r"1 image fits into memory in it alone"),
        ({"float32": 4, "bf16": 4}, "bf16", r"times as fast as float32 here"),
        ({"float32": 0, "bf16": 0}, "float32", r"one image does not fit into memory in bf16"),
    ],
)
def test_images_that_do_not_fit_into_memory_are_not_timed(able, most, precision, said):
    def work(kind, count):
        if count > most[kind]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep({"float32": 4e-3, "bf16": 1e-3}[kind])

    choice = compare(work, CPU, 32)
    assert choice.precision == precision
    assert re.search(said, str(choice))
