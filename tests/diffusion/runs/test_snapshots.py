"""Averages of power-function profiles, and others made of them afterwards."""

import os

import pytest
import torch
from modern_cases import assert_modern, modern, tensors
from torch import nn

from diffusion.runs.snapshots import coefficients, exponent, reconstructed, remove_after, save_snapshot
from diffusion.training.ema import EMA
from diffusion.training.trainer import rate_factor

LEFT_OUT = {
    "one package's": ["ema_diffusers_late", "ema_pytorch", "ema_pytorch_karras"],
    "tables of profiles": ["phema_correlation", "phema_response"],
}


@pytest.mark.parametrize("case, inputs, expected", modern(25, "sigma_rel"))
def test_exponents(case, inputs, expected):
    widths = tensors(inputs)["sigma_rel"].flatten()
    gamma = torch.tensor([exponent(width) for width in widths.tolist()], dtype=torch.float64)
    assert_modern(case, "gamma", gamma.view(expected["gamma"].shape), expected["gamma"])
    back = ((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))).sqrt()
    assert_modern(case, "sigma_rel_back", back.view(expected["sigma_rel_back"].shape), expected["sigma_rel_back"])


def tracked(weights, widths):
    """(averages after every update, their rates), each (steps, widths, ...)."""
    model = nn.Linear(weights.shape[1], 1, bias=False).double()
    model.weight.data[0] = weights[0]
    ema, averages, rates = EMA(model, (), widths=widths), [], []
    for step, row in enumerate(weights[1:], 1):
        model.weight.data[0] = row
        ema.update(step)
        averages.append(torch.stack([ema.averages[f"width_{width}"]["weight"][0].clone() for width in widths]))
        rates.append([ema.rate_at(f"width_{width}", step) for width in widths])
    return torch.stack(averages), torch.tensor(rates, dtype=torch.float64)


@pytest.mark.parametrize("case, inputs, expected", modern(25, "phema_track"))
def test_averages_of_three_widths(case, inputs, expected):
    averages, rates = tracked(tensors(inputs)["weights"], tuple(case["args"]["sigma_rel"]))
    assert_modern(case, "betas", rates, expected["betas"])
    assert_modern(case, "averages", averages, expected["averages"])


@pytest.mark.parametrize("case, inputs, expected", modern(25, "phema_reconstruct"))
def test_reconstruction(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    steps, widths = inputs["t_in"].flatten(), inputs["sigma_rel_in"].flatten()
    got, _ = coefficients(steps, widths, step=args["t_out"], width=args["sigma_rel_out"])
    # The equations are nearly singular, so that their solution has lost digits which the average has not.
    assert torch.allclose(got, torch.from_numpy(expected["coefficients"]).flatten(), rtol=0, atol=1e-6)
    snapshots = inputs["snapshots"].reshape(len(got), -1)
    assert_modern({**case, "id": ""}, "reconstruction", got @ snapshots, expected["reconstruction"].flatten())


@pytest.mark.parametrize("case, inputs, expected", modern(25, "lr_edm2"))
def test_the_learning_rate_of_edm2(case, inputs, expected):
    args, images = case["args"], tensors(inputs)["images"].flatten().tolist()
    ramp = args["rampup_Mimg"] * 1e6
    # Its ramp is from 0, ours from one step's share; past it they are one.
    for count, wanted in zip(images, expected["lr"].flatten().tolist(), strict=True):
        got = args["ref_lr"] * rate_factor(
            count / args["batch_size"] - 1, warmup_steps=0, anneal_steps=None, decay_steps=args["ref_batches"]
        )
        assert got * min(count / ramp, 1) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@pytest.fixture
def kept(tmp_path):
    """A walk of weights, whose averages of two widths are kept every 20 of 200 steps, and the state at each of them."""
    chance = torch.Generator().manual_seed(0)
    weights = torch.cat([torch.zeros(1, 4), torch.randn(200, 4, generator=chance).cumsum(0)]).double()
    averages, _ = tracked(weights, (0.05, 0.1))

    def state(step):
        own = {f"width_{w}": {"weight": averages[step - 1, i]} for i, w in enumerate((0.05, 0.1))}
        return {"step": step, "model": {"weight": weights[step], "running": torch.tensor(7.0)}, "ema": own}

    for step in range(20, 201, 20):
        own = {name.removeprefix("width_"): each for name, each in state(step)["ema"].items()}
        save_snapshot(tmp_path, step, own)
    return tmp_path, weights, state


def test_any_width_is_made_of_two_kept_ones(kept, caplog):
    folder, weights, state = kept
    for width in (0.05, 0.075, 0.1, 0.12):
        true = tracked(weights, (width,))[0][-1, 0]
        made = reconstructed(folder, state(200), width)
        assert torch.allclose(made["weight"], true, rtol=0, atol=1e-3 if width in (0.05, 0.1) else 0.2)
        assert made["running"] == 7
    assert not caplog.records
    earlier = reconstructed(folder, state(130), 0.05)["weight"]  # between two snapshots, by the state's own averages
    assert torch.allclose(earlier, state(130)["ema"]["width_0.05"]["weight"], rtol=0, atol=1e-6)


def test_few_averages_make_a_width_badly_and_say_so(kept, tmp_path_factory, caplog):
    _, _, state = kept
    reconstructed(tmp_path_factory.mktemp("none"), state(200), 0.2)
    assert "The 2 averages kept make ema=0.2 with an error of" in caplog.text


def test_a_damaged_snapshot_is_left_out_and_torn_ones_go(kept, caplog):
    folder, _, state = kept
    (folder / "step_00000040.safetensors").write_bytes(b"nonsense")
    (folder / "step_00000060.partial.safetensors").write_bytes(b"nonsense")
    os.mkfifo(folder / "step_00000050.safetensors")
    made = reconstructed(folder, state(200), 0.05)["weight"]
    assert torch.allclose(made, state(200)["ema"]["width_0.05"]["weight"], rtol=0, atol=1e-3)
    assert "step_00000040.safetensors cannot be read" in caplog.text
    assert "step_00000050.safetensors cannot be read ([Errno 22] not a regular file" in caplog.text
    (folder / "step_00000050.safetensors").unlink()
    remove_after(folder, 100)
    assert sorted(path.name for path in folder.iterdir()) == [f"step_{n:08d}.safetensors" for n in range(20, 101, 20)]


def test_averages_of_another_network_are_refused(kept):
    folder, _, state = kept
    other = {**state(200), "model": {"weight": torch.zeros(5)}}
    with pytest.raises(ValueError, match="of another network"):
        reconstructed(folder, other, 0.08)


@pytest.mark.parametrize("width", [0.0, 0.289, 0.5, -1.0])
def test_a_width_that_is_none(width):
    with pytest.raises(ValueError, match=r"^a relative width lies between 0 and 0\.289[^\n]*train\.ema_widths"):
        exponent(width)


def test_a_folder_that_holds_no_averages(tmp_path):
    with pytest.raises(ValueError, match=r"^[^\n]*no averages to make ema=0\.08 of; train with [^\n]*$"):
        reconstructed(tmp_path, {"step": 10, "ema": {"0.99": {}}, "model": {}}, 0.08)
