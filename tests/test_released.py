"""Weights without a configuration: a released file draws, measures and starts a run, and any run is exported as one."""

import hydra
import pytest
import torch
from commands import ROOT, command_anew
from safetensors.torch import load_file

import unet
from diffusion.config import build, instantiate, load, resume
from diffusion.config.resolvers import register_resolvers
from diffusion.inference.draw import draw_steps
from diffusion.runs import checkpoints
from diffusion.samplers.ancestral import Ancestral
from diffusion.samplers.sampler import draw

NARROW = ("model.base_channels=16", "model.norm_groups=8", "model.blocks_per_level=1")
BASELINE = ("experiment=imagenet64_baseline", "data.image_size=16", *NARROW)
CONDITIONAL = ("experiment=imagenet64_conditional", "data.image_size=16", "model.num_classes=3", *NARROW)


@pytest.fixture(scope="module")
def compose():
    """compose(root, override, ...) -> the configuration of a script."""
    register_resolvers()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield lambda root, *overrides: hydra.compose(root, list(overrides))


@pytest.fixture
def network(compose):
    """network(override, ...) -> the network of a narrow recipe, with random weights: a fresh one would output zeros."""

    def build_one(*overrides):
        config = compose("train", *overrides)
        built = build.model(
            config.model,
            instantiate.instantiate(config.diffusion),
            shape=load.shape_of(config),
            num_classes=config.model.num_classes,
        )
        chance = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in built.parameters():
                parameter.normal_(std=0.1, generator=chance)
        return built

    return build_one


def run(script, *overrides):
    """What `python script overrides` prints; an AssertionError with its complaint if it fails."""
    done = command_anew(ROOT, script, *overrides)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_an_experiment_says_what_a_released_file_is(compose, network, tmp_path, name):
    original = network(*CONDITIONAL).eval()
    unet.save_released(original, tmp_path / name)
    model = load.load_choice(compose("sample", f"checkpoint={tmp_path / name}", "device=cpu", *CONDITIONAL))
    assert (model.shape, model.classes, model.origin) == ((3, 16, 16), ["0", "1", "2"], "weights")
    assert len(model.diffusion.process) == 4000
    condition = {"y": torch.tensor([2, 0])}
    images = [
        draw(draw_steps(drawn_by, Ancestral(steps=2), range(2), seed=0, condition=condition))
        for drawn_by in (model, model._replace(network=original))
    ]
    assert torch.equal(*images)


def test_a_released_file_needs_an_experiment(compose, network, tmp_path):
    path = tmp_path / "model.pt"
    unet.save_released(network(*BASELINE), path)
    with pytest.raises(ValueError, match=r"weights alone.*experiment=\.\.\. \(one of cifar10_edm, "):
        load.load_choice(compose("sample", f"checkpoint={path}"))
    with pytest.raises(ValueError, match=r"one set of weights; leave ema=0\.9 out"):
        load.load_choice(compose("sample", f"checkpoint={path}", "ema=0.9", *BASELINE))


def test_a_file_of_another_recipe_says_which(compose, network, tmp_path):
    path = tmp_path / "model.pt"
    unet.save_released(network(*CONDITIONAL), path)
    with pytest.raises(ValueError, match=r"out\.2\.weight has shape \(6, .* set model\.num_classes=3") as caught:
        load.load_choice(compose("sample", f"checkpoint={path}", *BASELINE))
    assert "\n" not in str(caught.value)


def test_the_state_of_an_optimizer_is_refused(compose, tmp_path):
    path = tmp_path / "opt000010.pt"
    torch.save({"state": {0: {"step": torch.zeros(())}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}, path)
    for overrides in ((), BASELINE):
        with pytest.raises(ValueError, match=r"optimizer; give the file model\*\.pt or ema_\*\.pt"):
            load.load_choice(compose("sample", f"checkpoint={path}", *overrides))


def test_our_own_checkpoint_takes_no_experiment(compose, tmp_path):
    parts = {key: {} for key in ("model", "ema", "optimizer", "scaler", "schedule_sampler", "averages", "config")}
    path = checkpoints.save_checkpoint(tmp_path, {"step": 1, **parts}, keep=1, keep_every=None)
    with pytest.raises(ValueError, match="describes its own network; leave out model, diffusion, data, train"):
        load.load_choice(compose("sample", f"checkpoint={path}", *BASELINE))


def test_a_run_started_from_weights_begins_with_them(compose, network, tmp_path):
    """Trained for a step at a rate of 0 they stay the same to the last bit: in the run, its average and its export."""
    digits = ("model.in_channels=1", "model.num_classes=10", *NARROW)
    original = unet.export_released(network(*digits))
    torch.save(original, tmp_path / "old.pt")
    run(
        "train.py", f"init_from={tmp_path / 'old.pt'}", f"runs={tmp_path}", "name=new", *digits,
        "train.optimizer.lr=0", "train.max_steps=1", "train.batch_size=2", "train.preview.every=0",
        "logger.mode=disabled", "device=cpu",
    )  # fmt: skip
    for ema in ("off", "null"):
        model = load.load_choice(compose("sample", f"checkpoint={tmp_path / 'new'}", f"ema={ema}"))
        exported = unet.export_released(model.network)
        assert all(torch.equal(exported[name], tensor) for name, tensor in original.items())

    again = network(*digits)
    again.head[-1].weight.data.zero_()
    resume.start_from(again, str(tmp_path / "new"), model={})
    assert all(torch.equal(tensor, original[name]) for name, tensor in unet.export_released(again).items())

    other = {"heads": 1, "dropout": 0.5, "num_classes": 3, "attention_resolutions": [16, 8, 4]}
    with pytest.raises(ValueError, match=r"weights of another network; set 'model.attention_resolutions=.*model.heads"):
        resume.start_from(again, str(tmp_path / "new"), model=other)

    said = run("export.py", f"checkpoint={tmp_path / 'new'}", f"out={tmp_path / 'new.safetensors'}")
    assert f"{len(original)} tensors" in said
    exported = load_file(tmp_path / "new.safetensors")
    assert exported.keys() == original.keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in original.items())


def test_weights_that_do_not_fit_do_not_start_a_run(network, tmp_path):
    path = tmp_path / "old.pt"
    unet.save_released(network(*BASELINE), path)
    with pytest.raises(ValueError, match=r"label_emb\.weight does not occur in the file .* model\.num_classes=null"):
        resume.start_from(network(*CONDITIONAL), str(path), model={})
