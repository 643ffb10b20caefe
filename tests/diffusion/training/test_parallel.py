"""One process, several, and micro-batches train the same network."""

import pytest
import torch
from processes import together
from tiny_training import tiny_network, tiny_run, tiny_trainer

from diffusion.runs import checkpoints
from diffusion.runs.metrics import MetricsFile
from diffusion.training.adamw import AdamW
from diffusion.training.loop import fit


def calm_adamw(weights):
    """Adam divides a gradient by its own size; with a large eps, one that is rounding alone stays small."""
    return AdamW(weights, lr=1e-3, eps=1e-3)


def train(folder, **options):
    """Train on from where the folder stands, without dropout, whose pattern depends on how a batch is cut."""
    options = {"max_steps": 6, "microbatch": None, "optimizer": calm_adamw, **options}
    fit(tiny_trainer(**options), tiny_run(folder, dropout=0.0), checkpoints.load_newest(folder))


def train_so(folder, options):
    train(folder, **options)


def farthest(one, other):
    """The largest difference between two states in a weight, its average or its moments."""
    pairs = [(one["model"][name], other["model"][name]) for name in one["model"]]
    pairs += [(one["ema"]["0.9"][name], other["ema"]["0.9"][name]) for name in one["ema"]["0.9"]]
    moments = [state["optimizer"]["state"] for state in (one, other)]
    pairs += [(moments[0][i]["exp_avg"], moments[1][i]["exp_avg"]) for i in moments[0]]
    return max((a - b).abs().max().item() for a, b in pairs)


OPTIONS = [{}, {"microbatch": 1}, {"parallel": "fsdp", "microbatch": 1}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_two_processes_train_what_one_does(tmp_path, options):
    train(tmp_path / "one")
    together(2, train_so, tmp_path / "two", options)
    one, two = (checkpoints.load_newest(tmp_path / name) for name in ("one", "two"))
    assert farthest(one, two) < 1e-6  # a few units in the last place of weights around 1
    assert torch.allclose(one["schedule_sampler"]["losses"], two["schedule_sampler"]["losses"], rtol=1e-4)
    lines = [MetricsFile.read(tmp_path / name / "metrics.jsonl") for name in ("one", "two")]
    assert [line["step"] for line in lines[1]] == [1, 2, 3, 4, 5, 6]
    for line, same in zip(*lines, strict=True):
        for name in ("loss", "mse_q0", "grad_norm", "param_norm", "lr"):
            assert line.get(name, 0) == pytest.approx(same.get(name, 0), rel=1e-4), name


def test_a_checkpoint_of_several_processes_is_one_of_one(tmp_path):
    options = {"parallel": "fsdp"}
    train(tmp_path / "unbroken")
    together(2, train_so, tmp_path / "run", {**options, "max_steps": 3})
    train(tmp_path / "run", max_steps=4)
    together(2, train_so, tmp_path / "run", options)
    assert farthest(*(checkpoints.load_newest(tmp_path / name) for name in ("unbroken", "run"))) < 1e-6


def test_several_processes_resume_to_the_bit(tmp_path):
    together(2, train_so, tmp_path / "unbroken", {"microbatch": 2})
    for steps in (2, 6):
        together(2, train_so, tmp_path / "broken", {"microbatch": 2, "max_steps": steps})
    assert farthest(*(checkpoints.load_newest(tmp_path / name) for name in ("unbroken", "broken"))) == 0


def test_one_process_has_nobody_to_share_weights_with(tmp_path):
    with pytest.raises(ValueError, match="start it with torchrun"):
        train(tmp_path / "run", parallel="fsdp")
    with pytest.raises(ValueError, match=r"train\.parallel=ddpp is none of ddp, fsdp"):
        tiny_trainer(parallel="ddpp")
    with pytest.raises(ValueError, match=r"set train\.precision=bf16"):
        tiny_trainer(parallel="fsdp", precision="fp16")


class WithIdleWeight(torch.nn.Module):
    conditions = ("y",)

    def __init__(self):
        super().__init__()
        self.inside, self.idle = tiny_network(), torch.nn.Parameter(torch.ones(3))

    def forward(self, *told, **named):
        return self.inside(*told, **named)


def train_with_an_idle_weight(folder):
    run = tiny_run(folder, model=WithIdleWeight())
    try:
        fit(tiny_trainer(max_steps=2), run)
    except ValueError as error:
        return str(error)
    return "trained"


def test_a_weight_that_counts_for_nothing_is_named_where_others_wait_for_its_gradient(tmp_path):
    assert train_with_an_idle_weight(tmp_path / "alone") == "trained"
    (tmp_path / "run").mkdir()
    for said in together(2, train_with_an_idle_weight, tmp_path / "run"):
        assert "idle does not: leave it out of WithIdleWeight, or freeze it" in said
