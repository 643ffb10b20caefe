"""Which classes settings may name: the user's any of the right kind, a checkpoint's only those that are trusted."""

import sys
from functools import wraps

import pytest
import torch
from omegaconf import OmegaConf

from diffusion.cli.user_errors import check_schemas
from diffusion.config import instantiate, load
from diffusion.config.schema_source import schema
from diffusion.config.signature import find_class
from diffusion.config.trust import ROOTS, check_checkpoint_targets, check_user_targets
from diffusion.data.torchvision_images import TorchvisionImages

NETWORK = {
    "_target_": "unet.UNet", "image_size": 8, "in_channels": 1, "out_channels": 1, "base_channels": 8,
    "channel_mult": [1], "attention_resolutions": [], "norm_groups": 4,
}  # fmt: skip
DIFFUSION = {
    "_target_": "diffusion.GaussianDiffusion", "steps": 20,
    "schedule": {"_target_": "diffusion.Cosine"}, "prediction": {"_target_": "diffusion.Epsilon"},
    "variance": {"_target_": "diffusion.FixedSmall"}, "loss": {"_target_": "diffusion.Simple"},
}  # fmt: skip
STRANGER = "import torch\nclass Net(torch.nn.Module):\n    def __init__(self, *, width: int = 1): super().__init__()\n"
FOREIGN = [
    "os.mkdir",
    "builtins.eval",
    "subprocess.Popen",
    "os",
    "diffusionist.Linear",
    "diffusion.config.build.hydra.utils.instantiate",
    "diffusion.config.build.instantiate",
    "diffusion.runs.checkpoints.os.mkdir",
    "diffusion.runs.checkpoints.Path",
    "diffusion.runs.checkpoints.zipfile.ZipFile",
    "diffusion.process.schedules.Cosine",  # not by its public name
    "unet.unet.torch.load",
    "unet.load_released",
    "torch.optim.Optimizer.load_state_dict",
    "torch.load",
    "torch.nn.Linear",
    "diffusion",
    "diffusion.Nowhere",
    "diffusion.report",
    "diffusion.schedules:Cosine",
    "",
    "5",
]


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A package that a user may trust."""
    (tmp_path / "stranger.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    yield "stranger"
    sys.modules.pop("stranger", None)


@pytest.mark.parametrize("where", ["schedule", "loss.extra", "list"])
@pytest.mark.parametrize("target", FOREIGN)
def test_what_a_checkpoint_may_not_name_is_refused_and_does_not_run(tmp_path, target, where):
    ran = tmp_path / "ran"
    foreign = {"_target_": target, "_args_": [str(ran)]}
    node = {
        "schedule": {**DIFFUSION, "schedule": foreign},
        "loss.extra": {**DIFFUSION, "loss": {"_target_": "diffusion.Simple", "extra": foreign}},
        "list": {**DIFFUSION, "schedule": {"_target_": "diffusion.Cosine", "more": [[foreign]]}},
    }[where]
    with pytest.raises(ValueError, match=r"is refused|does not exist") as caught:
        instantiate.restore(node, "diffusion")
    assert not ran.exists() and "\n" not in str(caught.value)


def test_a_checkpoint_names_a_package_only_if_the_user_trusts_it(stranger):
    node = {"_target_": "stranger.Net", "width": 3}
    with pytest.raises(ValueError, match=r"stranger\.Net.*if you trust it, type 'trust=\[stranger\]'"):
        instantiate.restore(node, "model")
    assert stranger not in sys.modules
    assert type(instantiate.restore(node, "model", trust=[stranger])).__name__ == "Net"
    with pytest.raises(ValueError, match=r"sampler needs a diffusion.Sampler, and stranger.Net is none"):
        instantiate.restore(node, "sampler", trust=[stranger])


def test_what_the_user_names_may_be_any_class_of_the_right_kind(stranger):
    network = instantiate.instantiate(OmegaConf.create({"model": {"_target_": "stranger.Net"}}).model)
    assert isinstance(network, torch.nn.Module)
    for part, target, message in [
        ("data", "stranger.Net", "data needs a diffusion.Images, and stranger.Net is none; .* one of conf/data"),
        ("model", "os.mkdir", "model._target_=os.mkdir is a function; name a class"),
        ("model", "stranger.Nothing", "stranger.Nothing does not exist"),
        ("model", "strange.Net", "there is no module strange; put its folder on PYTHONPATH, or pip install it"),
        ("train.evaluations.fid", "diffusion.Digits", "train.evaluations.fid needs a diffusion.Evaluation"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_user_targets({"_target_": target}, part)
    train = {"_target_": "diffusion.Trainer", "optimizer": {"_target_": "torch.optim.SGD"}}
    check_user_targets(train, "train")
    train["optimizer"] = {"_target_": "diffusion.Cosine"}
    with pytest.raises(ValueError, match=r"train.optimizer needs a torch.optim.Optimizer, .*conf/train/optimizer"):
        check_user_targets(train, "train")


def test_what_a_checkpoint_calls_its_network_may_not_be_something_else(monkeypatch):
    unbuilt = wraps(TorchvisionImages.__init__)(lambda self, **settings: pytest.fail("it was built"))
    monkeypatch.setattr(TorchvisionImages, "__init__", unbuilt)  # with its signature, which is kept once it is read
    images = {"_target_": "diffusion.TorchvisionImages", "dataset": "CIFAR10", "root": "/", "download": True}
    for model in (images, {**NETWORK, "channel_mult": images}):
        facts = {"data": None, "train": None, "conditions": {}, "shape": [1, 8, 8], "classes": None}
        state = {"step": 1, "ema": {}, "model": {}, "config": {"model": model, "diffusion": DIFFUSION, **facts}}
        with pytest.raises(ValueError, match=r"needs a torch.nn.Module|does not belong there"):
            load.restore_model(state, ema=None, device="cpu")
    with pytest.raises(ValueError, match=r"data needs a diffusion.Images"):
        check_checkpoint_targets({"_target_": "diffusion.Denoiser", "count": 9}, "data")


@pytest.mark.parametrize("node", ["_target_: os.mkdir", "{_target_: os.mkdir}", None, 3, ["_target_", "os.mkdir"]])
def test_what_is_no_mapping_is_not_read_as_one(node):
    with pytest.raises(ValueError, match=r"model=.* in the checkpoint is refused: it describes no object"):
        instantiate.restore(node, "model")


@pytest.mark.parametrize("part", ["image_size", "channel_mult", "${oc.env:HOME}"])
def test_no_interpolation_of_a_checkpoint_is_resolved(part):
    for value in ("${oc.env:HOME}", ["${x}"]):
        with pytest.raises(ValueError, match=r"model.* in the checkpoint is refused: it holds an interpolation"):
            instantiate.restore({**NETWORK, part: value}, "model")


def test_a_class_without_its_schema_is_refused_with_the_line_to_write_first():
    bare = OmegaConf.create({"model": {"_target_": "mine.DiT", "depth": 3}, "seed": 0})
    with pytest.raises(ValueError, match=r"model names .*begin.*defaults: \[/schema/mine\.DiT@_here_, _self_\]$"):
        check_schemas(bare)
    check_schemas(OmegaConf.create({"model": OmegaConf.structured(schema("unet.UNet")), "data": None}))


@pytest.mark.parametrize("part", ROOTS)
def test_each_root_is_a_class(part):
    assert isinstance(find_class(ROOTS[part]), type)
