"""benchmarks/gpu.py finds its way without a GPU: every part runs, and what cannot be measured is a row of its own."""

import itertools
import json
import sys
from pathlib import Path

import pytest
import torch

TINY = (
    "data=synthetic data.image_size=8 data.num_classes=2 model.base_channels=8 model.norm_groups=4 "
    "model.channel_mult=[1] model.attention_resolutions=[] sampler.steps=2"
)


@pytest.fixture
def gpu(monkeypatch):
    """The module, whose rounds are as short as they can be, and which compiles nothing."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import gpu

    monkeypatch.setattr(gpu, "matmul_speed", lambda *_: 1e12)
    monkeypatch.setattr(gpu, "ROUND", 0.0)
    for user in ("training.trainer", "inference.fast_network"):
        monkeypatch.setattr(f"diffusion.{user}.compile_network", lambda network, *_, **options: network)
    return gpu


@pytest.fixture
def measure(gpu, monkeypatch, capsys):
    """measure(option, ...) -> (what was printed, the line of JSON)."""

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["gpu.py", *options, "--networks", TINY])
        gpu.main()
        said = capsys.readouterr().out
        return said, json.loads(said.splitlines()[-1])

    return run


def test_each_part_is_measured_and_what_a_device_lacks_is_named(measure):
    said, found = measure("--device", "cpu", "--batches", "2", "4", "--calls", "2", "1")
    rows = {name.removeprefix(f"{TINY}, ") for name in found["results"]}
    assert rows >= {"2 images, bf16", "2 images, float32", "2 images, fp16", "drawn in 2 calls, float32"}
    assert any(name.startswith("4 images") for name in rows)
    assert sum("compiled" in name for name in rows) == 1 and sum("CUDA graph" in name for name in rows) == 2
    assert all(row["images_per_second"] > 0 and row["tflops"] > 0 for row in found["results"].values())
    assert {*found["not_measured"]} == {f"{TINY}, 2 images, tf32", f"{TINY}, drawn in 2 calls, tf32"}
    assert "aten::convolution_backward" in said


def test_a_batch_too_large_ends_the_sweep_and_nothing_else(measure, monkeypatch):
    from recipe import Recipe

    of_batch = Recipe.of_batch

    def filling(self, size):
        if size == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return of_batch(self, size)

    monkeypatch.setattr(Recipe, "of_batch", filling)
    _, found = measure("--device", "cpu", "--batches", "2", "4", "8", "--calls", "1")
    assert [why for name, why in found["not_measured"].items() if "4 images" in name] == ["out of memory"]
    assert not any("8 images" in name for name in found["results"])
    assert any("CUDA graph" in name for name in found["results"])


def test_what_has_no_time_is_named(measure):
    _, found = measure("--device", "cpu", "--batches", "2", "--minutes", "1e-9")
    assert not found["results"] and len(found["not_measured"]) == 7
    assert {*found["not_measured"].values()} == {"not measured: the time is up"}


def test_a_part_that_takes_longer_than_its_share_ends(gpu):
    found = gpu.Measurements(torch.device("cpu"), seconds=5)
    found.part("slow", 0.01, lambda: found.attempt("slow row", lambda: [None for _ in itertools.count()]))
    found.part("next", 0.5, lambda: found.attempt("next row", lambda: None))
    assert found.lacking == {"slow row": "not measured within 0 s"}


@pytest.mark.parametrize(
    "options, why",
    [
        ((), "device=cuda cannot be used .*; device=cpu always can"),
        (("--device", "cpu", "--minutes", "0"), "--minutes, --batches and --calls must be above 0"),
        (("--device", "cpu", "--original", "nowhere"), "nowhere holds no improved_diffusion/unet.py"),
    ],
)
def test_what_cannot_be_measured_at_all_is_refused(measure, options, why):
    with pytest.raises(ValueError, match=why):
        measure(*options)
