"""Folders of diffusers: what the library draws from one of ours, and what is drawn here from one of the library's."""

import ast
import json
import os
import pickle
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import diffusion
from diffusion import Ancestral, Cosine, Epsilon, GaussianDiffusion, Hybrid, LearnedRange, Model
from diffusion.compute.randomness import generator
from diffusion.interchange.folder import INDEX, WEIGHTS, is_pipeline_folder, read_folder, write_folder
from unet import UNet

diffusers = pytest.importorskip("diffusers")
STEPS = 8
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def modules_of_their_own(monkeypatch, tmp_path_factory):
    """The library copies a folder's code to a place that the user keeps, and imports it from there."""
    cache = str(tmp_path_factory.mktemp("modules"))
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", cache)
    monkeypatch.setattr(sys, "path", [*sys.path, cache])


def a_model(classes=None, *, label_dropout=0.0, rescale_times=True, size=(8, 8)):
    variance = LearnedRange()
    process = GaussianDiffusion(
        steps=STEPS, schedule=Cosine(), prediction=Epsilon(), variance=variance, loss=Hybrid(),
        rescale_times=rescale_times,
    )  # fmt: skip
    network = UNet(
        image_size=min(size), in_channels=1, out_channels=2, base_channels=16, channel_mult=(1, 2), blocks_per_level=1,
        attention_resolutions=(), heads=2, norm_groups=8,
        num_classes=None if classes is None else len(classes) + (label_dropout > 0),
    )  # fmt: skip
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1, generator=chance)
    config = {"train": {"label_dropout": label_dropout}}
    return Model(network.eval(), process, (1, *size), classes, config, 7, "raw", CPU)


def written(model, folder):
    folder.mkdir()
    write_folder(model, folder, "model")
    return folder


def drawn_by_the_library(folder, count, **asked):
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, **asked.pop("load", {}))
    pipeline.set_progress_bar_config(disable=True)
    chances = [generator(0, "sample", number) for number in range(count)]
    return pipeline(generator=chances, output_type="pt", **asked).images


def levels_apart(theirs, ours):
    return (theirs - (ours / 2 + 0.5).clamp(0, 1)).abs().max().item() * 255


# A pixel that float32 carries through the steps of their table and of ours: measured 0.0004 of 255.
TOLERANCE = 0.01


def test_the_library_draws_the_same_images_of_classes(tmp_path):
    folder, model = tmp_path / "model", a_model(["cat", "dog"], label_dropout=0.1)
    written(model, folder)
    trusted = {"load": {"trust_remote_code": True}}
    asked = {"sampler": Ancestral(), "labels": ["dog", "cat", "dog"]}
    theirs = drawn_by_the_library(folder, 3, class_labels=["dog", 0, 1], **trusted)
    assert levels_apart(theirs, model.draw(3, **asked)) < TOLERANCE
    theirs = drawn_by_the_library(folder, 3, class_labels=["dog", 0, 1], guidance_scale=2.0, **trusted)
    guided = model.draw(3, guidance=diffusion.Guidance(scale=2.0), **asked)
    assert levels_apart(theirs, guided) < TOLERANCE
    with pytest.raises(ValueError, match="there is no class 'cow'; there are cat, dog"):
        drawn_by_the_library(folder, 1, class_labels=["cow"], **trusted)


def test_a_number_is_the_class_of_that_number_whatever_the_classes_are_called(tmp_path):
    folder = written(a_model(["1", "10", "2"]), tmp_path / "model")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    assert pipeline.labels(None).tolist() == [0, 1, 2]
    assert pipeline.labels([1, "1", 2, "2", "10"]).tolist() == [1, 0, 2, 2, 1]
    with pytest.raises(ValueError, match="there is no class '0'"):
        pipeline.labels(["0"])


@pytest.mark.parametrize("rescale_times, size", [(True, (8, 12)), (False, (8, 8))])
def test_the_library_draws_the_same_images_without_classes(tmp_path, rescale_times, size):
    """By its own pipeline, which runs no code of the folder's, where the network is told whole times."""
    folder, model = tmp_path / "model", a_model(rescale_times=rescale_times, size=size)
    written(model, folder)
    asked = {"load": {"trust_remote_code": True}} if rescale_times else {"num_inference_steps": STEPS}
    assert (folder / "pipeline.py").exists() == rescale_times
    theirs = drawn_by_the_library(folder, 2, batch_size=2, **asked)
    assert levels_apart(theirs, model.draw(2, sampler=Ancestral())) < TOLERANCE


def test_another_scheduler_of_the_library_draws_without_the_variance(tmp_path):
    folder = written(a_model(["cat", "dog"]), tmp_path / "model")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config)
    assert len(pipeline(num_inference_steps=4).images) == 2
    with pytest.raises(ValueError, match="always heard its labels"):
        pipeline(guidance_scale=2.0)


@pytest.mark.parametrize("classes, dropout", [(["cat", "dog"], 0.1), (None, 0.0)])
def test_what_was_written_is_read_back_to_the_last_bit(tmp_path, classes, dropout):
    model = a_model(classes, label_dropout=dropout)
    again = diffusion.load(written(model, tmp_path / "model"), device="cpu")
    assert (again.shape, again.classes, again.step, again.weights) == (model.shape, classes, None, "model")
    guidance = diffusion.Guidance(scale=2.0) if dropout else None
    images = [each.draw(2, sampler=Ancestral(steps=4), guidance=guidance) for each in (model, again)]
    assert torch.equal(*images)
    written(again, tmp_path / "again")
    for name in ("unet/config.json", "scheduler/scheduler_config.json", INDEX):
        assert (tmp_path / "model" / name).read_text() == (tmp_path / "again" / name).read_text()


def test_a_pipeline_of_the_library_is_drawn_from(tmp_path):
    """As `google/ddpm-cifar10-32` lies on the hub: both configurations beside the index, and TensorFlow's details."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(32, 32), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), layers_per_block=1, downsample_padding=0, flip_sin_to_cos=False,
        freq_shift=1, norm_eps=1e-6, attention_head_dim=None,
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler(
        num_train_timesteps=STEPS, variance_type="fixed_large", timestep_spacing="linspace"
    )
    diffusers.DDPMPipeline(network, scheduler).save_pretrained(tmp_path / "new")
    old = tmp_path / "old"
    old.mkdir()
    for name in ("unet/config.json", f"unet/{WEIGHTS}", "scheduler/scheduler_config.json", INDEX):
        os.replace(tmp_path / "new" / name, old / name.rpartition("/")[2])
    model = diffusion.load(old, device="cpu")
    ours = model.draw(2, sampler=Ancestral())
    assert levels_apart(drawn_by_the_library(old, 2, batch_size=2, num_inference_steps=STEPS), ours) < TOLERANCE


def changed(folder, name, **changes):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, **changes}))


def without(folder, name):
    (folder / name).unlink()


def pipe(folder, name):
    without(folder, name)
    os.mkfifo(folder / name)


BAD = {
    "another pipeline": (
        lambda f: changed(f, INDEX, _class_name="StableDiffusionPipeline", vae=["diffusers", "AutoencoderKL"]),
        "holds a 'StableDiffusionPipeline' with a part 'vae'; only pipelines of a UNet2DModel and a scheduler",
    ),
    "another network": (
        lambda f: changed(f, INDEX, unet=["diffusers", "UNet2DConditionModel"]), "with unet='UNet2DConditionModel'"
    ),
    "a network of no name": (lambda f: changed(f, INDEX, unet=[]), "without a unet; only pipelines"),
    "a network alone": (lambda f: (without(f, INDEX), os.replace(f / "unet/config.json", f / "config.json")),
        "holds a network alone; give the folder that holds model_index.json, such as the one above it$"),
    "no JSON": (lambda f: (f / INDEX).write_text("{"), "is damaged, or none of"),
    "deep JSON": (lambda f: (f / INDEX).write_text("[" * 100_000), "is damaged, or none of"),
    "a list": (lambda f: (f / INDEX).write_text("[]"), "is damaged, or none of"),
    "a large index": (lambda f: (f / INDEX).write_bytes(b" " * (2**22 + 1)), "File too large"),
    "a pipe": (lambda f: pipe(f, "scheduler/scheduler_config.json"), "not a regular file"),
    "weights that are a pipe": (lambda f: pipe(f, f"unet/{WEIGHTS}"), "not a regular file"),
    "no scheduler": (lambda f: without(f, "scheduler/scheduler_config.json"), "scheduler_config.json"),
    "pickled weights": (
        lambda f: os.replace(f / "unet" / WEIGHTS, f / "unet/diffusion_pytorch_model.bin"),
        "there is no .*only weights in safetensors",
    ),
    "pickled weights under the name of others": (
        lambda f: (f / "unet" / WEIGHTS).write_bytes(pickle.dumps({"a": 1})), "damaged or no file of safetensors"
    ),
    "cut weights": (
        lambda f: (f / "unet" / WEIGHTS).write_bytes((f / "unet" / WEIGHTS).read_bytes()[:-9]), "damaged or no file of"
    ),
    "no such network": (lambda f: changed(f, "unet/config.json", act_fn="gelu"), "no network of .*: act_fn='gelu'"),
    "heads that cannot be": (lambda f: changed(f, "unet/config.json", attention_head_dim=7), "heads of 7"),
    "no such scheduler": (
        lambda f: changed(f, "scheduler/scheduler_config.json", _class_name="EDMEulerScheduler"),
        "no process of .*: _class_name='EDMEulerScheduler'",
    ),
    "another variance": (
        lambda f: changed(f, "scheduler/scheduler_config.json", variance_type="fixed_small"),
        "2 output channels, and with its scheduler's variance FixedSmall it would have 1",
    ),
    "other times": (lambda f: changed(f, INDEX, time_scale="1"), "time_scale='1' must be 1 or"),
    "names of other classes": (lambda f: changed(f, INDEX, id2label={"0": "cat"}), "does not name the 2 classes"),
    "a share that is none": (lambda f: changed(f, INDEX, label_dropout=True), "label_dropout=True"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_is_none_is_refused_in_one_line(tmp_path, name):
    folder = written(a_model(["cat", "dog"]), tmp_path / "model")
    damage, said = BAD[name]
    damage(folder)
    with pytest.raises((ValueError, OSError), match=said) as caught:
        diffusion.load(folder, device="cpu")
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ['a"b', "a\\", "it's", "\udcff", "고양이", "a\nb"])
def test_the_card_s_code_asks_for_the_class_whatever_it_is_called(tmp_path, name):
    code = (written(a_model([name, "dog"]), tmp_path / "model") / "README.md").read_text(encoding="utf-8")
    call = ast.parse(code.split("```")[1].removeprefix("python")).body[-1].value.value
    assert ast.literal_eval(call.keywords[0].value) == [name]


def test_what_would_be_too_long_to_be_read_again_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"model_index\.json would have 5,.* bytes.*; out=model\.pt keeps the weights"):
        written(a_model(["w" * 5_000_000, "dog"]), tmp_path / "model")


def test_code_in_a_folder_is_not_run(tmp_path):
    folder = written(a_model(["cat", "dog"]), tmp_path / "model")
    (folder / "pipeline.py").write_text("raise SystemExit")
    assert read_folder(folder).classes == ["cat", "dog"]


def test_what_it_cannot_be_told_of_is_refused(tmp_path):
    folder = written(a_model(["cat", "dog"]), tmp_path / "model")
    with pytest.raises(ValueError, match=r"one set of weights; leave ema=0\.9 out"):
        diffusion.load(folder, ema=0.9)
    with pytest.raises(ValueError, match="describes its own network; leave diffusion out"):
        diffusion.load(folder, diffusion=a_model().diffusion)
    with pytest.raises(ValueError, match="has no checkpoint"):
        diffusion.load(tmp_path)
    assert is_pipeline_folder(folder) and not is_pipeline_folder(tmp_path)
    (folder / "checkpoints").mkdir()
    assert not is_pipeline_folder(folder), "a run that somebody put such a file into"


def test_weights_are_those_of_the_network(tmp_path):
    model = a_model()
    weights = load_file(written(model, tmp_path / "model") / "unet" / WEIGHTS)
    assert sum(map(torch.numel, weights.values())) == sum(map(torch.numel, model.network.parameters()))
    save_file({**weights, "conv_in.bias": torch.zeros(3)}, tmp_path / "model" / "unet" / WEIGHTS)
    with pytest.raises(ValueError, match=r"conv_in\.bias has shape \(3,\) in .*\(16,\) by its configuration"):
        read_folder(tmp_path / "model")
