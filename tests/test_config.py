"""The configuration: every option composes, builds and trains; what is wrong in it is refused before anything runs."""

from __future__ import annotations

import math
import re
import runpy
import struct
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import MissingMandatoryValue
from PIL import Image

from diffusion.cli.user_errors import check_known, check_schemas, is_of_user, one_line
from diffusion.config import build, instantiate
from diffusion.config.data_choice import from_checkpoint, identity
from diffusion.config.resolvers import register_resolvers
from diffusion.config.trust import check_user_targets
from diffusion.config.values import check_command
from diffusion.runs.metrics import MetricsFile
from diffusion.training.loop import fit
from diffusion.training.throughput import Throughput

HERE = Path(__file__).parent
CONF = HERE.parent / "conf"

TINY = (
    "name=test", "device=cpu", "sampler.steps=2", "train.max_steps=1", "train.batch_size=2",
    "train.microbatch=1", "train.warmup_steps=0", "train.preview.images=2",
)  # fmt: skip
SHORT = "diffusion.steps=21"  # for what has steps
SYNTHETIC = ("data=synthetic", "data.image_size=16", "data.num_images=4")
NARROW = (
    "data=synthetic", "data.image_size=32", "data.num_images=4", "model.base_channels=16", "model.norm_groups=8",
    "model.blocks_per_level=1",
)  # fmt: skip
NO_PREVIEW = "train.preview.every=0"

# What an option needs to fit, beside TINY; the longest rule that its name begins with holds.
FITS = {
    "model": SYNTHETIC,
    "model/unet_": NARROW,
    "model/unet_tiny": SYNTHETIC,
    "model/superres_": ("data=digits", "data.image_size=32", "conditions=[label,small_image]", *NARROW[3:], NO_PREVIEW),
    "model/classifier_": (*SYNTHETIC, "data.num_classes=2", "diffusion/loss=classification", NO_PREVIEW),
    "diffusion": SYNTHETIC,
    "diffusion/path": (*SYNTHETIC, "diffusion=continuous"),
    "diffusion/schedule/cosine_log_snr": (*SYNTHETIC, "diffusion=continuous"),
    "diffusion/schedule/even_log_snr": (*SYNTHETIC, "diffusion=continuous"),
    "diffusion/schedule/straight_time": (*SYNTHETIC, "diffusion=continuous"),
    "diffusion/schedule/linear_beta": (*SYNTHETIC, "diffusion=continuous"),
    "diffusion/schedule/sigmoid_log_snr": (*SYNTHETIC, "diffusion=continuous"),
    "diffusion/schedule/karras_log_snr": (*SYNTHETIC, "diffusion=continuous"),
    "diffusion/schedule/zero_terminal": (*SYNTHETIC, "diffusion/prediction=velocity"),
    "diffusion/schedule/shifted": (*SYNTHETIC, "diffusion.schedule.image_size=128"),
    "diffusion/variance/fixed_": (*SYNTHETIC, "diffusion/loss=simple"),
    "diffusion/loss/simple": (*SYNTHETIC, "diffusion/variance=fixed_large"),
    "diffusion/loss/classification": (*SYNTHETIC, "data.num_classes=2", "model=classifier_tiny", NO_PREVIEW),
    "train": SYNTHETIC,
    "sampler": SYNTHETIC,
    "sampler/spacing/list": (*SYNTHETIC, "sampler.spacing.t=[3,1,0]", "sampler.steps=null"),
    "guidance": SYNTHETIC,
    "guidance/classifier_free": ("data=digits", "data.image_size=8", "train.label_dropout=0.1"),
    "logger": SYNTHETIC,
    "logger/wandb": (*SYNTHETIC, "logger.mode=disabled", "logger.group=null"),
    "logger/both": (*SYNTHETIC, "logger.first.mode=disabled", "logger.first.group=null"),
    "data": ("data.image_size=16",),
    "data/digits": ("data.image_size=8",),
    "conditions/small_image": ("data=digits", "data.image_size=32", "model=superres_tiny", NO_PREVIEW),
    "data/image_folder": ("data.root={root}/pictures", "data.image_size=8", "data.labels=folder", "data.workers=0"),
    "data/hub": ("data.name={root}/pictures", "data.image_size=16", "data.workers=0"),
    "data/npz": ("data.path={root}/images.npz", "data.image_size=16"),
    "data/mnist": ("data.root={root}", "data.image_size=16"),
    "data/fashion_mnist": ("data.root={root}", "data.image_size=16"),
    "data/cifar10": ("data.root={root}", "model.attention_resolutions=[8]"),
    "experiment/digits_ablation": ("train.evaluations=null", "train.evaluate_every=0"),
    "experiment/digits_design": ("train.evaluations=null", "train.evaluate_every=0"),
    "experiment/digits_modern": ("train.precision=float32",),  # which a run settles before it is trained
    "experiment/digits_upsample": (NO_PREVIEW,),
}


def options():
    """Every option of a group that configures training, but for the published recipes, which test_recipes.py tries."""
    for path in sorted(CONF.glob("*/**/*.yaml")):
        option = path.relative_to(CONF).with_suffix("").as_posix()
        published = option.startswith("experiment/") and not option.startswith("experiment/digits_")
        elsewhere = option.startswith(("hydra/", "evaluation/", "train/evaluations/", "task/", "train/_none"))
        if not elsewhere and not published and option != "guidance/weaker_model":  # it needs another run
            yield option


def what_fits(option):
    """The overrides of the longest rule that the option's name begins with."""
    return FITS.get(max((rule for rule in FITS if option.startswith(rule)), key=len, default=""), ())


@pytest.fixture(scope="module", autouse=True)
def registered():
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides, root="train"):
    quiet = () if root != "train" or any(word.startswith("logger") for word in overrides) else ("logger=none",)
    config = hydra.compose(root, [*overrides, *quiet])
    check_known(config)
    check_schemas(config)
    check_command(config)
    return config


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder of pictures, and four images in the formats of MNIST and CIFAR-10."""
    for number in range(4):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (60 * number, 0, 0)).save(path)
    np.savez(tmp_path / "images.npz", x=np.zeros((4, 28, 28), np.uint8), y=np.arange(4))
    for name in ("MNIST", "FashionMNIST"):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        for part in ("train", "t10k"):
            pixels = bytes(range(28)) * 28 * 4
            (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 4, 28, 28) + pixels)
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 4) + bytes(range(4)))
    fake_cifar(tmp_path / "cifar-10-batches-py", monkeypatch)
    return tmp_path


def fake_cifar(folder, monkeypatch):
    import pickle

    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(CIFAR10, "train_list", [("data_batch_1", None)])
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: setattr(self, "classes", list("abcd")))
    folder.mkdir()
    batch = {"data": np.zeros((4, 3 * 32 * 32), dtype=np.uint8), "labels": [0, 1, 2, 3]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch))


def built(option, files):
    """The trainer and the run of an option, with what it needs to fit."""
    group, _, name = option.rpartition("/")
    overrides = [override.format(root=files) for override in what_fits(option)]
    chosen = f"{group}=[{name}]" if group == "conditions" else f"{group}={name}"  # conditions are a list
    stepless = {"diffusion=continuous", "diffusion=edm", "diffusion=flow", "experiment=digits_design"}
    short = () if stepless & {chosen, *overrides} else (SHORT,)
    config = composed(chosen, *TINY, *short, *overrides)
    return build.training(config, files / "run")


@pytest.mark.parametrize("option", options())
def test_an_option_composes_builds_and_trains_a_step(option, files):
    trainer, run = built(option, files)
    run.folder.mkdir()
    before = [weight.detach().clone() for weight in run.model.parameters()]
    assert fit(trainer, run) == 0
    assert not all(map(torch.equal, before, run.model.parameters()))
    (line,) = MetricsFile.read(run.folder / "metrics.jsonl")
    assert line["step"] == 1 and math.isfinite(line["loss"]) and line["grad_norm"] > 0


@pytest.mark.parametrize("option", [option for option in options() if option.startswith("model/")])
def test_the_operations_of_every_network_are_counted(option, files, measured_speed):
    trainer, run = built(option, files)
    assert 1e5 < Throughput(run, trainer.learner(run)).flops_per_image < 1e13


def test_what_a_checkpoint_says_is_not_downloaded_and_found_from_anywhere(files, monkeypatch):
    monkeypatch.chdir(files)
    config = composed(*TINY, "data=image_folder", "data.root=pictures", "data.image_size=8", "data.workers=0")
    root = build.training(config, Path())[1].config["data"]["root"]
    assert root == str(files / "pictures")
    folder = {"_target_": "diffusion.ImageFolder", "image_size": 8}
    assert identity({**folder, "root": "pictures"}) == identity({**folder, "root": root, "on_error": "skip"})
    cifar = {"_target_": "diffusion.TorchvisionImages", "dataset": "CIFAR10", "download": True}
    assert from_checkpoint(cifar) == {**cifar, "download": False}


@pytest.mark.parametrize("root, group", [("sample", "sampler"), ("sample", "task"), ("evaluate", "evaluation")])
def test_the_other_roots_compose_with_every_option_of_theirs(root, group):
    for option in GlobalHydra.instance().config_loader().get_group_options(group):
        config = composed("checkpoint=x", f"{group}={option}", root=root)
        check_user_targets(instantiate.plain_values(config)[group], group)


def test_exporting_composes():
    assert composed("checkpoint=x", "out=y", root="export").out == "y"


def test_facts_of_the_data_and_the_variance_reach_the_network():
    config = composed(*TINY, *SYNTHETIC, "data.num_classes=3", "data.channels=1")
    _, run = build.training(config, Path())
    model = run.config["model"]
    assert (model["image_size"], model["in_channels"], model["out_channels"], model["num_classes"]) == (16, 1, 2, 3)
    assert run.config["shape"] == [1, 16, 16] and run.config["classes"] == ["0", "1", "2"]
    fixed = composed(*TINY, *SYNTHETIC, "diffusion=linear")
    assert build.training(fixed, Path())[1].config["model"]["out_channels"] == 3


def test_a_network_may_ignore_the_classes():
    _, run = build.training(composed(*TINY, "model.num_classes=null"), Path())
    assert run.images.classes is not None and run.config["classes"] is None and run.conditions == {}


def test_a_configuration_is_plain_values_as_a_checkpoint_needs():
    _, run = build.training(composed(*TINY, *SYNTHETIC), Path())

    def plain(node):
        if isinstance(node, dict):
            return all(isinstance(key, str) and plain(value) for key, value in node.items())
        if isinstance(node, list):
            return all(map(plain, node))
        return node is None or type(node) in (str, int, float, bool)

    assert plain(run.config)


@pytest.mark.parametrize("experiment", ["digits_ablation", "digits_design"])
def test_a_sweep_can_be_measured_as_it_says(experiment, tmp_path):
    # The test above trains it without, for the sake of time; what cannot be measured is refused here.
    trainer, _ = build.training(composed(f"experiment={experiment}", *TINY), tmp_path)
    assert len(trainer.evaluations) == 2


def error(*overrides) -> str:
    """The line that a user reads."""
    with pytest.raises((ValueError, OSError, HydraException)) as caught:
        build.training(composed(*overrides), Path("never"))
    return one_line(caught.value)


REFUSED = [
    (["model.dropuot=1"], "no setting model.dropuot; did you mean dropout"),
    (["+dropuot=1"], "no setting dropuot; did you mean dropout"),
    (["train.optimizer.learning=1"], "no setting train.optimizer.learning"),
    (["model.dropout=high"], "model.dropout: Value 'high' of type 'str' could not be converted to Float"),
    (["model.attention_resolutions=16"], r"model.attention_resolutions: .*give a list: 'model.attention_res"),
    (["train.max_steps=1e3"], "train.max_steps: Value '1000.0' of type 'float' could not be converted to Integer"),
    (["train.preview.every=null"], r"^train\.preview\.every cannot be null; give it a value, or leave "),
    (["model=unet_99"], "no model unet_99; there are .*unet_256, unet_32"),
    (["sampler=dpm"], "no sampler dpm; there are ancestral, ddim"),
    (["diffusion/variance=fixed_medium"], "no diffusion/variance fixed_medium; there are fixed_large"),
    (["experiment=mine"], "no experiment mine"),
    (["modle=unet_64"], "modle"),
    (["model.heads=3"], r"64 channels cannot be shared by 3 heads; set model.heads"),
    (["model.base_channels=36"], r"model\.norm_groups"),
    (["data=synthetic", "data.image_size=18"], "18"),
    (["model.attention_resolutions=[7]"], r"7.*model\.attention_resolutions"),
    (["model.out_channels=1"], r"model.out_channels=1, but LearnedRange needs 2 output channels"),
    (["model.in_channels=3"], "model.in_channels=3, but the data have channels 1"),
    (["model.num_classes=7"], "model.num_classes=7, but the data have 10 classes"),
    (
        ["train.label_dropout=0.1", "model.num_classes=10"],
        r"the data have 10 classes and train\.label_dropout takes one more; set model\.num_classes=11",
    ),
    (["data=image_folder", "data.image_size=16"], "data.root"),
    (["data=image_folder", "data.root=/nowhere", "data.image_size=16"], "/nowhere"),
    (["data=cifar10", "data.root=/nowhere"], r"no CIFAR10 in /nowhere; set data\.download=true"),
    (["data=mnist", "data.root=/nowhere"], r"no MNIST in /nowhere"),
    (["train.microbatch=7"], r"train.batch_size=32 is not a multiple of train.microbatch=7; choose"),
    (["train.precision=fp8"], "train.precision=fp8 is none of float32, tf32, bf16, fp16, auto"),
    (["train.ema_rates=[2]"], r"an EMA rate lies in \[0, 1\), got 2.0; set train.ema_rates="),
    (["data=synthetic", "data.num_images=5", "data.image_size=16"], "5 images do not fill a batch of 32; set train"),
    (["diffusion=linear", "diffusion.steps=19"], r"a linear schedule needs at least 21 steps \(diffusion.steps=21\)"),
    (["diffusion.steps=1"], "at least 2 steps"),
    (["diffusion/loss=simple"], "simple loss never trains LearnedRange; use diffusion/loss=hybrid"),
    (["sampler.steps=1001"], "cannot take 1001 of 1000 steps; sampler.steps must be at most 1000"),
    (["sampler=ddim", "sampler.eta=2"], "eta lies between 0"),
    (["sampler.steps=ddim300"], "sampler.steps=ddim"),
    (["logger.mode=loud", "logger.group=null"], "logger.mode=loud is unknown"),
    (["logger=[wandb,tensorboard]"], "WandbLogger and TensorBoardLogger cannot be one; .*two loggers: logger=both"),
    (["experiment=digits_classifier", "model.num_classes=7"], "the data have 10 classes; set model.num_classes=10"),
    (["experiment=digits_classifier", "model.heads=2"], r"decides the heads.*set model\.channels_per_head=null"),
    (["diffusion.steps=0"], "at least 2 steps, got 0"),
    (["diffusion.steps=-3"], "at least 2 steps, got -3"),
    (["train/schedule_sampler=loss_second_moment", "train.schedule_sampler.history=0"], "history=0 must be at least 1"),
    (["train.schedule_sampler=null"], "train.schedule_sampler is null"),
    (["train.optimizer=null"], "train.optimizer is null"),
    (["train.preview=null"], "train.preview is null"),
    (["diffusion.schedule=null"], "diffusion.schedule is null"),
    (["train.optimizer.betas=[0.9]"], r"AdamW has two betas, got \[0.9\]; set"),
    (["train.preview.images=0"], "train.preview.images=0 must be at least 1"),
    (["train.preview.every=-1"], "train.preview.every=-1 must be 0 or more"),
    (["data=synthetic", "data.num_images=0"], "data.num_images=0 must be at least 1"),
    (["data=synthetic", "data.num_classes=0"], "data.num_classes=0 must be at least 1"),
    (["data=synthetic", "data.image_size=16", "data.width=18"], "16 x 18 cannot be halved"),
    (["name=a/../../b"], "no folder below the runs folder"),
    (["name=''"], "no folder below the runs folder"),
    (["device=cuda:99"], "device=cuda:99 cannot be used .* device=cpu always can"),
    (["device=cuda"], "device=cuda cannot be used .*there is no GPU.*; device=cpu always can"),
    (["device=abacus"], "device=abacus cannot be used"),
    (["device=meta"], "device=meta computes no numbers; device=cpu always can"),
    (
        ["train.optimizer.lr=inf"],
        r"optimizer\.lr=inf is no finite number; set one, such as train\.optimizer\.lr=",
    ),
    (["train.optimizer.betas=[0.9,nan]"], r"train\.optimizer\.betas=nan is no finite number"),
    (["train.clip_grad_norm=nan"], r"train\.clip_grad_norm=nan is no finite number"),
    (["train.optimizer.eps=0"], r"train\.optimizer\.eps=0.* out of range; set train\.optimizer\.eps=1e-08"),
    (["train.optimizer.lr=-1"], r"train\.optimizer\.lr=-1.* out of range"),
    (["train.ema_rates=[0.9,0.9]"], r"train\.ema_rates=\[0\.9, 0\.9\] names one average twice"),
    (["model.dropout=1"], r"dropout=1\.0 must lie in \[0, 1\)"),
    (["model.dropout=nan"], r"model\.dropout=nan is no finite number"),
    (["model.attention_resolutions=[8,8]"], "names a size twice; set 'model.attention_resolutions="),
    (["model.heads=0"], "heads=0 must be at least 1"),
    (["model.blocks_per_level=1000000000"], "blocks_per_level=1000000000 is too many"),
    (["model.blocks_per_level=1" + "0" * 30], "is too large for a whole number"),
    (["model.base_channels=1000000"], r"UNet .* would take .* GB, and this machine has .*; set a smaller model"),
    (["data=synthetic", "data.image_size=1000000"], "data.image_size=1000000 must lie between 1 and"),
    (["data=synthetic", "data.num_images=1000000000"], "synthetic images of this size take too long to make"),
    (["data=mnist", "data.root="], "data.root is empty; set it to a file or folder"),
    (
        ["train.schedule_sampler=x"],
        r"=x is no diffusion\.ScheduleSampler; choose one by train/schedule_sampler=",
    ),
    (["diffusion.schedule=x"], r"=x is no diffusion\.Schedule; choose one by diffusion/schedule="),
    (["train.optimizer=5"], r"train\.optimizer=5 is no torch\.optim\.Optimizer; choose one by train/optimizer="),
    (["train.preview=3"], r"train\.preview=3 is no diffusion\.Preview"),
    (["train.preview.images=1000000000"], "train.preview.images=1000000000 are drawn at once"),
    (["diffusion=continuous", "sampler.steps=1000000000"], "give a number from 1 to 100000"),
    (["train.parallel=fsdp"], "Muon needs whole; set train/optimizer=adamw"),
    (["train/optimizer=adamw", "train.parallel=fsdp"], "this is one; start it with torchrun"),
    (["objective=nothing"], "objective=nothing is not logged; this run logs .*loss"),
    (["+model.x=3"], "no setting model.x"),
    (["++train.optimizer.x=3"], "no setting train.optimizer.x"),
    (["+conditions.foo=5"], r"conditions\.foo=5 is no diffusion\.Condition"),
    (["+conditions.y.x=5"], "x"),
    (["seed=1" + "0" * 30], "seed=1e.30 is too large for a whole number"),
    ([f"seed=1{'0' * 400}"], "seed=1e.400 is too large for a whole number"),
    (["name='a\x1b[31m'"], "is no folder below the runs folder"),
]


@pytest.mark.parametrize("overrides, message", REFUSED, ids=lambda value: value[-1] if isinstance(value, list) else "")
def test_a_mistake_is_one_line_that_says_what_to_type(overrides, message):
    line = error("name=test", *overrides)
    assert re.search(message, line), line
    assert "\n" not in line and len(line) < 400 and "Error" not in line


def test_missing_weights_to_begin_with_are_refused_before_a_run_is_announced(tmp_path, caplog):
    config = composed(*TINY, f"init_from={tmp_path / 'none'}")
    with caplog.at_level("INFO"), pytest.raises(ValueError, match=r"no checkpoint at .*none"):
        runpy.run_path(str(HERE.parent / "train.py"))["train"](config, tmp_path / "run")
    assert not caplog.messages and not (tmp_path / "run").exists()


def test_a_value_that_omegaconf_cannot_merge_is_one_line():
    with pytest.raises(AttributeError) as caught:
        composed("train.evaluations={x:3}")
    assert is_of_user(caught.value)
    assert one_line(caught.value) == "train.evaluations cannot take that value; --cfg job shows what it holds"


def test_the_bound_is_trained_on_in_one_way():
    """By diffusion/objective=vlb as by the published recipe, but that it clips gradients."""
    common = ("name=test", "logger.group=null")
    here = composed("diffusion/objective=vlb", "diffusion.steps=4000", "train=paper", *common)
    published = composed("experiment=cifar10_vlb", *common)
    assert (here.train.clip_grad_norm, published.train.clip_grad_norm) == (1.0, None)
    here.train.clip_grad_norm = None
    assert here.diffusion == published.diffusion and here.train == published.train


def test_a_recipe_that_draws_by_its_own_sampler_is_measured_by_what_draws_nothing():
    for evaluation in ("likelihood", "continuous_likelihood", "density"):
        words = (f"evaluation={evaluation}", "experiment=cifar10_edm", "checkpoint=x")
        assert "sampler" not in composed(*words, root="evaluate").evaluation
    quality = composed("evaluation=quality", "experiment=cifar10_edm", "checkpoint=x", root="evaluate")
    assert quality.evaluation.sampler._target_ == "diffusion.Heun"


def test_a_setting_without_a_value_is_asked_for():
    with pytest.raises(MissingMandatoryValue) as caught:
        composed(root="sample").checkpoint  # noqa: B018
    assert one_line(caught.value) == "checkpoint has no value; give it one: checkpoint=..."
