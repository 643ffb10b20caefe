"""`diffusion.train` and `diffusion.load`: what a run of Python keeps, and what is refused."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from processes import together
from torch import nn

import diffusion
import unet
from diffusion.config import instantiate
from diffusion.config.describe import describe

IMAGES = diffusion.Digits(image_size=8)
TINY = {"base_channels": 8, "channel_mult": (1, 2), "blocks_per_level": 1, "norm_groups": 4}


class Net(nn.Module):
    """One convolution, which may be told the darkness of the image."""

    def __init__(self, *, told: int = 0) -> None:
        super().__init__()
        self.told = told
        self.conditions = ("dark",) if told else ()
        self.only = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, time, dark=None):
        return self.only(x) if dark is None else self.only(x) + dark.view(-1, 1, 1, 1)


class Darkness(diffusion.Condition):
    def __call__(self, x_0, labels):
        return x_0.flatten(1).mean(1)


def method(steps=20, *, schedule=None, prediction=None, loss=None):
    return diffusion.GaussianDiffusion(
        steps=steps, schedule=schedule or diffusion.Cosine(), prediction=prediction or diffusion.Epsilon(),
        variance=diffusion.FixedSmall(), loss=loss or diffusion.Simple(),
    )  # fmt: skip


def train(folder: Path, network: nn.Module, parts=None, **settings):
    settings = {"max_steps": 1, "batch_size": 4, **settings}
    return diffusion.train(network, parts or method(), IMAGES, folder=folder, device="cpu", **settings)


def classifier(**settings):
    options = {"channels_per_head": 8, "attention_resolutions": (4,)}
    return unet.Classifier(image_size=8, in_channels=1, num_classes=10, **TINY, **options, **settings)


@pytest.mark.parametrize(
    "process",
    [
        method(),
        diffusion.ContinuousDiffusion(
            schedule=diffusion.CosineLogSNR(top=9.0), path=diffusion.VariancePreserving(),
            prediction=diffusion.Velocity(), loss=diffusion.Simple(),
        ),
    ],
    ids=["chain", "continuum"],
)  # fmt: skip
def test_a_run_of_this_programs_own_parts_opens_by_its_folder_alone(tmp_path, process):
    network = unet.UNet(
        image_size=8, in_channels=1, out_channels=1, num_classes=10, attention_resolutions=(4,), heads=2, **TINY
    )
    model = train(tmp_path, network, process)
    again = diffusion.load(tmp_path, device="cpu")
    few = diffusion.Ancestral(steps=3)
    assert torch.equal(
        model.draw(2, labels=[1, 2], sampler=few), again.draw(2, labels=torch.tensor([1, 2]), sampler=few)
    )
    assert getattr(again.diffusion.schedule, "top", 9.0) == 9.0 and again.name == tmp_path.name


def test_a_class_that_no_name_leads_to_is_given_again(tmp_path):
    class Local:
        def betas(self, steps):
            return diffusion.Cosine().betas(steps)

    own = method(schedule=Local())
    train(tmp_path, Net(), own)
    with pytest.raises(ValueError, match=r"open it there: diffusion\.load"):
        diffusion.load(tmp_path)
    assert diffusion.load(tmp_path, network=Net(), diffusion=own).draw(1).shape == (1, 1, 8, 8)


def test_a_condition_of_ones_own_is_told_in_training_and_in_drawing(tmp_path):
    own = {"dark": Darkness()}
    model = train(tmp_path, Net(told=1), conditions=own)
    assert model.conditions == own and model.draw(2, dark=torch.zeros(1)).shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="the network needs dark"):
        model.draw(2)
    again = diffusion.load(tmp_path, network=Net(told=1), conditions=own)
    assert model.bits_per_dim(IMAGES.pixels[:2]).equal(again.bits_per_dim(IMAGES.pixels[:2]))


@pytest.mark.parametrize("other", [{"parts": method(prediction=diffusion.Velocity())}, {"batch_size": 2}, {"seed": 1}])
def test_another_experiment_in_the_same_folder_is_refused(tmp_path, other):
    train(tmp_path, Net())
    with pytest.raises(ValueError, match="this run folder holds another experiment"):
        train(tmp_path, Net(), **{"max_steps": 2, **other})
    assert train(tmp_path, Net(), max_steps=2, lr=1e-3).step == 2


def test_watching_ends_with_what_is_drawn(tmp_path):
    model, sampler = train(tmp_path, Net()), diffusion.DDIM(steps=4)
    steps = list(model.watch([2, 3], sampler=sampler))
    assert len(steps) == 4 and steps[-1].x.allclose(model.draw(4, sampler=sampler)[2:], atol=1e-5)


def test_a_classifier_of_other_times_is_refused_before_it_guides(tmp_path):
    model = train(tmp_path / "model", Net())
    judge = train(tmp_path / "judge", classifier(), method(10, loss=diffusion.Classification()))
    with pytest.raises(ValueError, match="was told other times than the model"):
        model.draw(1, labels=[3], guidance=diffusion.Guidance(classifier=judge))


def test_every_image_needs_its_own_label(tmp_path):
    network = unet.UNet(
        image_size=8, in_channels=1, out_channels=1, num_classes=10, attention_resolutions=(4,), heads=2, **TINY
    )
    model = train(tmp_path, network)
    with pytest.raises(ValueError, match="3 images have 1 labels"):
        model.bits_per_dim(IMAGES.pixels[:3], labels=[1])


def test_a_set_of_this_program_is_described_by_all_of_its_arguments(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a_1.png")
    folder = diffusion.ImageFolder(root=str(tmp_path), image_size=8, labels="prefix", workers=0, cache="off")
    for images in (
        folder,
        diffusion.Synthetic(image_size=8, num_images=3),
        diffusion.Digits(split="test", image_size=8),
    ):
        described = describe(images)
        again = instantiate.restore(described, "data")
        assert describe(again) == described and again.classes == images.classes
        assert again.read(range(1)).pixels.equal(images.read(range(1)).pixels)
    assert describe(diffusion.Resident(IMAGES.pixels, IMAGES.labels, classes=None, flip=False)) is None


def test_steps_that_were_made_are_not_taken_back(tmp_path):
    train(tmp_path, Net(), max_steps=2)
    with pytest.raises(ValueError, match=r"has 2 steps, and train\.max_steps=1 asks for fewer; set train\.max_steps=2"):
        train(tmp_path, Net(), max_steps=1)


def test_measures_that_have_no_test_images_are_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"no test images.*python evaluate\.py checkpoint="):
        train(tmp_path, Net(), evaluations={"bound": diffusion.Likelihood()}, evaluate_every=1)
    assert not (tmp_path / "checkpoints").exists()


def test_a_file_of_weights_is_said_by_its_experiment_alone(tmp_path):
    with pytest.raises(ValueError, match=r"experiment=imagenet64_baseline says all.*leave ema out"):
        diffusion.load(tmp_path / "x.pt", experiment="imagenet64_baseline", ema=0.9)


def two_steps(folder):
    torch.manual_seed(0)
    return train(folder, Net(), max_steps=2, log_every=1).network.only.weight.detach()


def two_steps_of_one_among_others(folder):
    torch.distributed.destroy_process_group()  # as a program that torchrun has just started
    return two_steps(folder).tolist()


def test_several_processes_train_what_one_does(tmp_path):
    alone = two_steps(tmp_path / "alone")
    for weight in together(2, two_steps_of_one_among_others, tmp_path / "run"):
        assert torch.allclose(torch.tensor(weight), alone, rtol=0, atol=1e-6)
