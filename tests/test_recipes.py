"""The published recipes are what was published (the flags in improved-diffusion's README), and each of them trains."""

from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import OmegaConf, open_dict

from diffusion.config import build, instantiate, load
from diffusion.config.resolvers import register_resolvers
from diffusion.runs.metrics import MetricsFile
from diffusion.training.loop import fit

CONF = Path(__file__).parents[1] / "conf"

UNET = "unet.UNet"
SCHEDULES = {"linear": "diffusion.Linear", "cosine": "diffusion.Cosine"}
LEARNED, FIXED = "diffusion.LearnedRange", "diffusion.FixedLarge"
UNIFORM, BY_LOSS = "diffusion.Uniform", "diffusion.LossSecondMoment"
SIMPLE = {"_target_": "diffusion.Simple"}
BOUND = {"_target_": "diffusion.VLB", "weight": 1.0}


def hybrid(vlb_weight):
    return {"_target_": "diffusion.Hybrid", "vlb_weight": vlb_weight}


# What the flags of a recipe mean; what a recipe does not give is the original's default.
MODEL_DEFAULTS = {
    "_target_": UNET,
    "image_size": "???",
    "in_channels": "???",
    "out_channels": "???",
    "num_classes": None,
    "augmentation_numbers": 0,
    "fourier_features": [],
    "base_channels": 128,
    "blocks_per_level": 3,
    "attention_resolutions": [16, 8],
    "heads": 4,
    "heads_up": None,
    "channels_per_head": None,
    "attention_order": "heads_first",
    "dropout": 0.0,
    "scale_shift": True,
    "norm_groups": 32,
    "resampling": "convolution",
    "checkpoint": [],
    "dims": 2,
}
TRAIN_DEFAULTS = {
    "batch_size": 128,
    "optimizer.lr": 1e-4,
    "optimizer.weight_decay": 0.0,
    "optimizer.betas": [0.9, 0.999],
    "optimizer.eps": 1e-8,
    "schedule_sampler._target_": UNIFORM,
    "microbatch": None,
    "max_steps": None,
    "warmup_steps": 0,
    "anneal_steps": None,
    "clip_grad_norm": None,
    "ema_rates": [0.9999],
    "precision": "float32",
}
FOLDER = "diffusion.ImageFolder"
DATA_64 = {"_target_": FOLDER, "image_size": 64, "channels": 3, "labels": "none", "flip": False}
DATA_256 = {**DATA_64, "image_size": 256}
CIFAR = {"dataset": "CIFAR10", "split": "train", "padding": 0, "image_size": 32, "flip": False}

NETWORK_64 = {"channel_mult": [1, 2, 3, 4]}
NETWORK_32 = {"channel_mult": [1, 2, 2, 2], "dropout": 0.3}
LSUN = {
    "channel_mult": [1, 1, 2, 2, 4, 4],
    "blocks_per_level": 2,
    "heads": 1,
    "attention_resolutions": [16],
    "scale_shift": False,
}
UPSAMPLER = {
    "_target_": "unet.SuperResolutionUNet",
    "channel_mult": [1, 1, 2, 2, 4, 4],
    "base_channels": 192,
    "blocks_per_level": 2,
    "num_classes": 1000,
}

# name: model, (steps, schedule, variance, loss, rescale_times), train, data, parameters of the network
RECIPES = {
    "imagenet64_hybrid": (NETWORK_64, (4000, "cosine", LEARNED, hybrid(0.001), True), {}, DATA_64, 121_063_942),
    "imagenet64_vlb": (
        NETWORK_64,
        (4000, "cosine", LEARNED, BOUND, True),
        {"schedule_sampler._target_": BY_LOSS},
        DATA_64,
        121_063_942,
    ),
    # The last convolution, of 128 channels and 3x3, gives 3 channels instead of 6.
    "imagenet64_baseline": (
        NETWORK_64,
        (4000, "linear", FIXED, SIMPLE, True),
        {},
        DATA_64,
        121_063_942 - 3 * (128 * 3 * 3 + 1),
    ),
    "imagenet64_conditional": (
        {**NETWORK_64, "base_channels": 192, "num_classes": 1000},
        (4000, "cosine", LEARNED, hybrid(1 / 4000), False),
        {"optimizer.lr": 3e-4, "batch_size": 2048},
        {**DATA_64, "labels": "prefix"},
        273_049_350,
    ),
    "cifar10_hybrid": (NETWORK_32, (4000, "cosine", LEARNED, hybrid(0.001), True), {}, CIFAR, 52_546_438),
    "cifar10_vlb": (
        NETWORK_32,
        (4000, "cosine", LEARNED, BOUND, True),
        {"schedule_sampler._target_": BY_LOSS},
        CIFAR,
        52_546_438,
    ),
    "lsun256": (LSUN, (1000, "linear", LEARNED, hybrid(1 / 1000), False), {}, DATA_256, 113_676_678),
    "lsun256_low_rate": (
        LSUN,
        (1000, "linear", LEARNED, hybrid(1 / 1000), False),
        {"optimizer.lr": 2e-5},
        DATA_256,
        113_676_678,
    ),
    "upsample_64_256": (
        UPSAMPLER,
        (4000, "linear", LEARNED, hybrid(1 / 4000), False),
        {"optimizer.lr": 3e-4, "batch_size": 256},
        {**DATA_256, "labels": "prefix"},
        279_792_390,
    ),
}


@pytest.fixture(scope="module")
def compose():
    """compose(override, ...) -> the configuration that `python train.py override ...` gets."""
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *overrides: hydra.compose("train", list(overrides))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_the_published_one(compose, name):
    model, (steps, schedule, variance, loss, rescale_times), train, data, _ = RECIPES[name]
    config = compose(f"experiment={name}")
    assert OmegaConf.to_container(config.model) == MODEL_DEFAULTS | model
    diffusion = OmegaConf.to_container(config.diffusion)
    assert diffusion.pop("schedule")["_target_"] == SCHEDULES[schedule]
    assert diffusion == {
        "_target_": "diffusion.GaussianDiffusion",
        "steps": steps,
        "prediction": {"_target_": "diffusion.Epsilon"},
        "variance": {"_target_": variance},
        "loss": loss,
        "weighting": None,
        "rescale_times": rescale_times,
    }
    for node, expected in ((config.train, TRAIN_DEFAULTS | train), (config.data, data)):
        assert {key: OmegaConf.select(node, key) for key in expected} == expected


@pytest.mark.parametrize("name", RECIPES)
def test_the_network_has_the_published_number_of_parameters(compose, name):
    config = compose(f"experiment={name}")
    diffusion, shape = instantiate.instantiate(config.diffusion), load.shape_of(config)
    with torch.device("meta"):
        network = build.model(config.model, diffusion, shape=shape, num_classes=config.model.num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == RECIPES[name][-1]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_at_reduced_width(compose, tmp_path, name):
    """One step on pictures of 32x32: the smallest that six levels can halve."""
    config = compose(
        f"experiment={name}", "name=reduced", "device=cpu", "model.base_channels=16", "model.norm_groups=8",
        "model.blocks_per_level=1", "train.max_steps=1", "train.batch_size=2", "train.preview.every=0",
        "logger.mode=disabled", "logger.group=null",
    )  # fmt: skip
    with open_dict(config):
        classes = None if config.model.num_classes is None else 2
        config.model.num_classes = classes
        pictures = {
            "_target_": "diffusion.Synthetic", "image_size": 32, "num_images": 2, "num_classes": classes,
        }  # fmt: skip
        config.data = pictures
        if "low_res" in config.conditions:
            config.conditions.low_res.size = 8
    trainer, run = build.training(config, tmp_path)
    before = torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])
    assert fit(trainer, run) == 0
    after = torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])
    (line,) = MetricsFile.read(tmp_path / "metrics.jsonl")
    # The first step of AdamW moves a weight that has a gradient by the learning rate, whatever the gradient's size.
    assert (after - before).abs().max().item() == pytest.approx(config.train.optimizer.lr, rel=0.01)
    assert {"mse", "vb"} & line.keys() == {
        "diffusion.Simple": {"mse"}, "diffusion.VLB": {"vb"},
        "diffusion.Hybrid": {"mse", "vb"},
    }[config.diffusion.loss._target_]  # fmt: skip


# What came after the paper: the law of levels, (data_std of the path or None), prediction, sampler, conditions
MODERN = {
    "cifar10_edm": ("diffusion.Normal", 0.5, "diffusion.Velocity", "diffusion.Heun", {"y", "augmentation"}),
    "cifar10_modern": ("diffusion.Mixture", 0.5, "diffusion.Velocity", "diffusion.DPMSolver", {"y"}),
    "cifar10_flow": ("diffusion.Normal", None, "diffusion.Flow", "diffusion.Heun", {"y"}),
    "imagenet64_edm": ("diffusion.Normal", 0.5, "diffusion.Velocity", "diffusion.Heun", {"y"}),
}


@pytest.mark.parametrize("name", MODERN)
def test_a_modern_recipe_is_what_it_says_and_trains_at_reduced_width(compose, tmp_path, name):
    law, data_std, prediction, sampler, conditions = MODERN[name]
    config = compose(
        f"experiment={name}", "name=reduced", "device=cpu", "model.base_channels=16", "model.norm_groups=8",
        "model.blocks_per_level=1", "train.max_steps=1", "train.batch_size=2", "train.preview.every=0",
        "train.warmup_steps=0", "train.precision=float32", "logger.mode=disabled", "logger.group=null",
    )  # fmt: skip
    assert config.train.schedule_sampler._target_ == law and config.sampler._target_ == sampler
    assert config.diffusion.path.get("data_std") == data_std and config.diffusion.prediction._target_ == prediction
    assert config.conditions.keys() == conditions
    with open_dict(config):
        unconditional = "num_classes" in config.model and config.model.num_classes is None
        config.model.num_classes = None if unconditional else 2 + bool(config.train.label_dropout)
        if config.model.channels_per_head:
            config.model.channels_per_head = 16
        config.data = {
            "_target_": "diffusion.Synthetic", "image_size": 32, "num_images": 2,
            "num_classes": None if unconditional else 2, "channels": 1,
        }  # fmt: skip
    trainer, run = build.training(config, tmp_path)
    assert fit(trainer, run) == 0
    (line,) = MetricsFile.read(tmp_path / "metrics.jsonl")
    assert line["loss"] > 0 and "mse" in line


def test_a_diffusion_chooses_its_law_and_the_command_line_another(compose):
    assert compose("diffusion=edm").train.schedule_sampler._target_ == "diffusion.Normal"
    assert compose("diffusion=flow", "train/schedule_sampler=uniform").train.schedule_sampler._target_ == UNIFORM
    assert compose("diffusion=cosine").train.schedule_sampler._target_ == UNIFORM
