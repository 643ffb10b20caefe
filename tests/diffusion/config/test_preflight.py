"""Parts that do not go together are named before anything is trained or drawn."""

import pytest
import torch

from diffusion import (
    Classification,
    Cosine,
    Epsilon,
    FixedLarge,
    GaussianDiffusion,
    Hybrid,
    LearnedRange,
    Linear,
    Simple,
    Uniform,
)
from diffusion.config.preflight import check_draws, check_guides, check_labels, check_shape, check_times, check_training
from diffusion.data.conditions import Label, SmallImage
from diffusion.data.synthetic import Synthetic
from diffusion.inference.trained import Trained
from diffusion.training.preview import Preview
from unet import Classifier, SuperResolutionUNet, UNet

SMALL = {"image_size": 8, "in_channels": 1, "base_channels": 8, "channel_mult": (1,), "norm_groups": 4}
BLOCKS = {"blocks_per_level": 1, "attention_resolutions": (), "heads": 1, "channels_per_head": None}
UNET = UNet(out_channels=1, num_classes=2, **SMALL, **BLOCKS)
SUPERRES = SuperResolutionUNet(out_channels=1, num_classes=2, **SMALL, **BLOCKS)
CLASSIFIER = Classifier(num_classes=2, **SMALL, **BLOCKS)
PLAIN = Synthetic(image_size=8, channels=1, num_classes=2, num_images=4)
ALONE, WITH_SMALL = {"y": Label()}, {"y": Label(), "low_res": SmallImage(size=4)}
OFF, ON = Preview(every=0), Preview(every=5)


def trained(**changes) -> Trained:
    process = dict(steps=100, schedule=Cosine(), prediction=Epsilon(), variance=FixedLarge(), loss=Simple())
    process |= {name: changes.pop(name) for name in list(changes) if name in (*process, "rescale_times")}
    model = Trained(
        network=torch.nn.Identity(), diffusion=GaussianDiffusion(**process), shape=(1, 8, 8), classes=["a", "b"],
        config={}, step=1, weights="raw", device=torch.device("cpu"),
    )  # fmt: skip
    return model._replace(**changes)


@pytest.mark.parametrize(
    ("network", "loss", "conditions", "preview"),
    [(UNET, Hybrid(), ALONE, ON), (SUPERRES, Simple(), WITH_SMALL, ON), (CLASSIFIER, Classification(), ALONE, OFF)],
)
def test_what_goes_together_passes(network, loss, conditions, preview):
    check_training(network, loss, PLAIN, preview, conditions)


@pytest.mark.parametrize(
    ("network", "loss", "conditions", "preview", "message"),
    [
        (UNET, Hybrid(), WITH_SMALL, ON, r"which UNet is not shown; set 'conditions=\[label\]'"),
        (SUPERRES, Hybrid(), ALONE, ON, r"got no small image.*'conditions=\[label,small_image\]'"),
        (CLASSIFIER, Hybrid(), ALONE, OFF, r"set diffusion/loss=classification"),
        (UNET, Classification(), ALONE, OFF, r"UNet draws; set model=classifier_tiny"),
        (CLASSIFIER, Classification(), ALONE, ON, r"set train\.preview\.every=0"),
        (CLASSIFIER, Classification(), WITH_SMALL, OFF, r"which Classifier is not shown"),
    ],
)
def test_what_does_not_says_what_to_type(network, loss, conditions, preview, message):
    with pytest.raises(ValueError, match=message):
        check_training(network, loss, PLAIN, preview, conditions)


def test_images_of_a_shape_that_the_network_cannot_take_are_refused_before_it_is_trained():
    network = UNet(out_channels=1, num_classes=2, **{**SMALL, "channel_mult": (1, 1)}, **BLOCKS)
    before = torch.get_rng_state()
    check_shape(network, Synthetic(image_size=8, width=10, channels=1, num_classes=2, num_images=2))
    assert torch.equal(before, torch.get_rng_state()) and network.training
    with pytest.raises(ValueError, match="8 x 9 cannot be halved"):
        check_shape(network, Synthetic(image_size=8, width=9, channels=1, num_classes=2, num_images=2))
    with pytest.raises(ValueError, match=r"64 positions and got 80; .*model\.pool=adaptive"):
        check_shape(CLASSIFIER, Synthetic(image_size=8, width=10, channels=1, num_classes=2, num_images=2))


def test_the_times_to_train_on_are_those_of_the_diffusion():
    check_times(trained().diffusion, Uniform(steps=100))
    with pytest.raises(ValueError, match=r"schedule_sampler\.steps=50 is not diffusion\.steps=100"):
        check_times(trained().diffusion, Uniform(steps=50))


def test_a_classifier_needs_labels():
    with pytest.raises(ValueError, match="data without labels"):
        check_labels(Classification(), Synthetic(image_size=8, num_images=2))
    check_labels(Hybrid(), Synthetic(image_size=8, num_images=2))


def test_a_classifier_draws_nothing():
    check_draws(trained(), "runs/a")
    with pytest.raises(ValueError, match=r"guidance\.classifier=runs/a"):
        check_draws(trained(loss=Classification()), "runs/a")


def test_a_classifier_of_the_same_images_and_times_guides():
    for model in (trained(), trained(classes=None), trained(variance=LearnedRange(), loss=Hybrid())):
        check_guides(trained(loss=Classification()), model, "runs/c")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": Simple()}, "runs/c holds no classifier"),
        ({"shape": (1, 16, 16)}, "knows images of 1x16x16, the model draws 1x8x8"),
        ({"shape": (3, 8, 8)}, "knows images of 3x8x8, the model draws 1x8x8"),
        ({"classes": ["a", "c"]}, r"the classes a, c \(2\), the model a, b \(2\)"),
        ({"steps": 200}, r"told other times \(200 steps, 0 to 995\) than the model \(100 steps, 0 to 990\)"),
        ({"rescale_times": False}, r"\(100 steps, 0 to 99\) than the model \(100 steps, 0 to 990\)"),
        ({"schedule": Linear()}, r"train one with the model's diffusion\.schedule"),
    ],
)
def test_another_does_not(changes, message):
    with pytest.raises(ValueError, match=message):
        check_guides(trained(**{"loss": Classification(), **changes}), trained(), "runs/c")
