"""Parts that do not go together are named before anything is trained or drawn."""

import pytest
import torch
from tiny_training import tiny_diffusion, tiny_images, tiny_run, tiny_trainer
from toy_gaussian import Called

from diffusion import (
    AdamW,
    Ancestral,
    Classification,
    Cosine,
    Digits,
    Epsilon,
    FixedLarge,
    GaussianDiffusion,
    Hybrid,
    Label,
    Likelihood,
    Preview,
    Simple,
    SmallImage,
    Synthetic,
    Trained,
)
from diffusion.config.preflight import check_draws, check_labels, check_run, uses_classes
from diffusion.config.subjects import subject_in_training
from unet import Classifier, SuperResolutionUNet, UNet

SMALL = {"image_size": 8, "in_channels": 1, "base_channels": 8, "channel_mult": (1,), "norm_groups": 4}
BLOCKS = {"blocks_per_level": 1, "attention_resolutions": (), "heads": 1}
UNET = UNet(out_channels=1, num_classes=2, **SMALL, **BLOCKS)
SUPERRES = SuperResolutionUNet(out_channels=1, num_classes=2, **SMALL, **BLOCKS)
CLASSIFIER = Classifier(num_classes=2, channels_per_head=None, **SMALL, **BLOCKS)
ALONE, WITH_SMALL = {"y": Label()}, {"y": Label(), "low_res": SmallImage(size=4)}
OFF, ON = Preview(every=0), Preview(every=5)


def fixed(loss) -> GaussianDiffusion:
    return GaussianDiffusion(steps=4, schedule=Cosine(), prediction=Epsilon(), variance=FixedLarge(), loss=loss)


@pytest.fixture
def run_of(tmp_path):
    """run_of(change=..., ...) -> a run of a network with two classes and one output channel."""
    return lambda **changes: tiny_run(tmp_path, **{"model": UNET, "diffusion": fixed(Simple()), **changes})


@pytest.mark.parametrize(
    ("network", "loss", "conditions", "preview"),
    [(UNET, Simple(), ALONE, ON), (SUPERRES, Simple(), WITH_SMALL, ON), (CLASSIFIER, Classification(), ALONE, OFF)],
)
def test_what_goes_together_passes_every_check(run_of, network, loss, conditions, preview):
    check_run(tiny_trainer(preview=preview), run_of(model=network, diffusion=fixed(loss), conditions=conditions))


@pytest.mark.parametrize(
    ("network", "loss", "conditions", "preview", "message"),
    [
        (UNET, Simple(), WITH_SMALL, ON, r"with low_res .*which UNet is not shown; set 'conditions=\[label\]'"),
        (SUPERRES, Simple(), ALONE, ON, r"got no small image.*'conditions=\[label,small_image\]'"),
        (CLASSIFIER, Simple(), ALONE, OFF, r"set diffusion/loss=classification"),
        (UNET, Classification(), ALONE, OFF, r"UNet draws; set model=classifier_tiny"),
        (CLASSIFIER, Classification(), ALONE, ON, r"set train\.preview\.every=0"),
        (CLASSIFIER, Classification(), WITH_SMALL, OFF, r"which Classifier is not shown"),
    ],
)
def test_what_does_not_says_what_to_type(run_of, network, loss, conditions, preview, message):
    with pytest.raises(ValueError, match=message):
        check_run(tiny_trainer(preview=preview), run_of(model=network, diffusion=fixed(loss), conditions=conditions))


def test_a_classifier_is_measured_by_nothing_that_draws(run_of):
    trainer = tiny_trainer(evaluations={"bound": Likelihood()})
    with pytest.raises(ValueError, match="leave train/evaluations out"):
        check_run(trainer, run_of(model=CLASSIFIER, diffusion=fixed(Classification())))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "tf32"}, r"train\.precision=tf32 needs an NVIDIA GPU"),
        ({"optimizer": lambda weights: AdamW(weights, betas=(0.9,))}, r"AdamW has two betas"),
        ({"batch_size": 16}, r"12 images do not fill a batch of 16"),
    ],
)
def test_what_the_trainer_cannot_do_with_the_run_is_refused(run_of, options, message):
    with pytest.raises(ValueError, match=message):
        check_run(tiny_trainer(**options), run_of())


def test_images_of_a_shape_that_the_network_cannot_take_are_refused_before_it_is_trained(run_of):
    def check(network, width, loss):
        images = Synthetic(image_size=8, width=width, channels=1, num_classes=2, num_images=4)
        run = run_of(model=network, images=images, diffusion=fixed(loss))
        before = torch.get_rng_state()
        check_run(tiny_trainer(), run)
        assert torch.equal(before, torch.get_rng_state()) and network.training

    network = UNet(out_channels=1, num_classes=2, **{**SMALL, "channel_mult": (1, 1)}, **BLOCKS)
    check(network, 10, Simple())
    with pytest.raises(ValueError, match="8 x 9 cannot be halved"):
        check(network, 9, Simple())
    with pytest.raises(ValueError, match=r"64 positions and got 80; .*model\.pool=adaptive"):
        check(CLASSIFIER, 10, Classification())


def test_a_network_that_cannot_be_called_or_gives_other_channels_is_refused(run_of):
    class Strict(torch.nn.Module):
        conditions = ("y",)

        def forward(self, x, time):
            return x

    with pytest.raises(ValueError, match=r"Strict cannot be called as forward\(x, time, y\)"):
        check_run(tiny_trainer(), run_of(model=Strict()))
    with pytest.raises(ValueError, match=r"needs 2 output channels, the model gives 1; set model\.out_channels=2"):
        check_run(tiny_trainer(), run_of(diffusion=tiny_diffusion()))


def test_steps_that_the_process_does_not_have_are_refused_where_previews_take_them(run_of):
    run = run_of(sampler=Ancestral(steps=9))
    with pytest.raises(ValueError, match=r"cannot take 9 of 4 steps; sampler\.steps must be at most 4"):
        check_run(tiny_trainer(preview=ON), run)
    check_run(tiny_trainer(preview=OFF), run)


def test_an_evaluation_that_cannot_measure_is_refused_by_its_place_in_the_configuration(run_of):
    images = tiny_images()
    data = {"_target_": "diffusion.Synthetic", "image_size": 8, "channels": 1, "num_classes": 2, "num_images": 12}
    subject = subject_in_training(data, images, batch_size=2, seed=0)
    run = run_of(images=images, subject=subject)
    check_run(tiny_trainer(evaluations={"bound": Likelihood(num_images=4)}), run)
    with pytest.raises(ValueError, match=r"12 images, not 13; set train\.evaluations\.bound\.num_images=12"):
        check_run(tiny_trainer(evaluations={"bound": Likelihood(num_images=13)}), run)


def test_a_classifier_needs_labels():
    with pytest.raises(ValueError, match="data without labels"):
        check_labels(Classification(), Synthetic(image_size=8, num_images=2))
    check_labels(Hybrid(), Synthetic(image_size=8, num_images=2))
    check_labels(Classification(), Digits(image_size=8))


def test_classes_are_used_by_a_network_that_is_told_them_and_by_a_classifiers_loss():
    assert uses_classes(UNET, Simple()) and uses_classes(CLASSIFIER, Classification())
    assert not uses_classes(Called(lambda x, time: x), Simple())


def test_a_classifier_draws_nothing():
    def trained(loss) -> Trained:
        return Trained(UNET, fixed(loss), (1, 8, 8), ["a", "b"], {}, 1, "raw", torch.device("cpu"))

    check_draws(trained(Simple()), "runs/a")
    with pytest.raises(ValueError, match=r"guidance\.classifier=runs/a"):
        check_draws(trained(Classification()), "runs/a")


def test_state_that_could_not_be_read_back_is_refused_before_the_first_step(run_of):
    class Forgets(torch.optim.SGD):
        def step(self, closure=None):
            self.state[self.param_groups[0]["params"][0]]["seen"] = {1, 2}

    with pytest.raises(ValueError, match=r"'optimizer'\]\['state'\]\[0\]\['seen'\] is a builtins.set"):
        check_run(tiny_trainer(optimizer=Forgets), run_of())
    network = torch.nn.Identity()
    network.register_buffer("signs", torch.zeros(2, dtype=torch.bits8))
    with pytest.raises(ValueError, match=r"\['model'\]\['signs'\] is a strided tensor of bits8"):
        check_run(tiny_trainer(), run_of(model=network))
