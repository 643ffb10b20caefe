"""Quality and memorisation of models that draw what is known: training images, test images, or one image only."""

import json
import re

import pytest
import torch
from toy_gaussian import Called

from diffusion import Ancestral, Cosine, Epsilon, FixedSmall, GaussianDiffusion, Simple
from diffusion.data.digits import Digits
from diffusion.data.synthetic import Synthetic
from diffusion.evaluation import recogniser, result_cache
from diffusion.evaluation.features import Extracted, Extractor, Pixels
from diffusion.evaluation.inception import Inception
from diffusion.evaluation.memorisation import Memorisation
from diffusion.evaluation.quality import Quality
from diffusion.evaluation.recogniser import Recogniser
from diffusion.evaluation.subject import Subject
from diffusion.inference.trained import Trained
from diffusion.pictures.pixels import from_uint8
from diffusion.samplers.sampler import Step

DATA = {"_target_": "diffusion.data.digits.Digits", "split": "train", "image_size": 8, "flip": False}
DIGITS = {split: Digits(split=split, image_size=8) for split in ("train", "test")}


class Showing(Ancestral):
    """Draws the images of `split`, or the first of them again and again."""

    def __init__(self, *, split, again=False):
        super().__init__(steps=2)
        self.split, self.again = split, again
        self.drawn = 0

    def walk(self, denoise, levels, x, noise):
        numbers = range(self.drawn, self.drawn + len(x))
        self.drawn += len(x)
        shown = from_uint8(DIGITS[self.split].read([0 if self.again else number for number in numbers]).pixels)
        yield Step(shown, shown)


def subject(held_out=True):
    diffusion = GaussianDiffusion(
        steps=6, schedule=Cosine(), prediction=Epsilon(), variance=FixedSmall(), loss=Simple()
    )
    model = Trained(
        Called(lambda x, time: x), diffusion, (1, 8, 8), None, {"data": DATA}, 1, "raw", torch.device("cpu")
    )
    images = Digits(split="test" if held_out else "train", image_size=8)
    data = {**DATA, "split": "test" if held_out else "train"}
    title = f"digits {data['split']}"
    return Subject(model, images, data, title, held_out, lambda: DIGITS["train"], "digits train", 32, 0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(recogniser, "SMALL", recogniser.SMALL._replace(steps=60))
    result_cache.print_first_time.cache_clear()
    return tmp_path / "cache"


def measured(folder, evaluation):
    folder.mkdir()
    found = evaluation(subject(), folder)
    return found, json.loads((folder / "result.json").read_text())


def test_test_images_are_close_to_training_images_and_one_image_again_and_again_is_not(tmp_path, cache, capsys):
    real, real_result = measured(
        tmp_path / "0", Quality(sampler=Showing(split="test"), features=Recogniser(), num_images=350, cache=cache)
    )
    assert "Training a recogniser" in capsys.readouterr().out
    one, _ = measured(
        tmp_path / "1",
        Quality(sampler=Showing(split="test", again=True), features=Recogniser(), num_images=350, cache=cache),
    )
    assert "Using the recogniser" in capsys.readouterr().out
    what = "recogniser_digits_train_350"
    names = {
        f"{metric}_{what}"
        for metric in (
            "frechet_distance", "kernel_distance", "kernel_distance_spread", "class_score", "class_score_spread",
            "precision", "recall",
        )
    }  # fmt: skip
    beside = {f"{known}_{name}" for known in ("real", "noise") for name in names} - {f"noise_recall_{what}"}
    assert real.numbers.keys() == names | beside | {"recogniser_accuracy", "recogniser_guessing"}
    assert real.numbers[f"frechet_distance_{what}"] < 0.1 * one.numbers[f"frechet_distance_{what}"]
    assert real.numbers[f"kernel_distance_{what}"] < 0.1 * one.numbers[f"kernel_distance_{what}"]
    assert real.numbers[f"class_score_{what}"] > 3 and one.numbers[f"class_score_{what}"] == pytest.approx(1)
    assert min(real.numbers[f"precision_{what}"], real.numbers[f"recall_{what}"]) > 0.7
    assert one.numbers[f"recall_{what}"] < 0.05
    # What was drawn is the test images, so the yardstick measures the same.
    assert real.numbers[f"real_precision_{what}"] == pytest.approx(real.numbers[f"precision_{what}"], abs=0.03)
    assert real_result.items() >= real.numbers.items()
    assert (real_result["features"], real_result["reference"]) == ("recogniser", "digits train")
    assert (real_result["num_images"], real_result["num_reference_images"]) == (350, 1442)
    assert (real_result["num_real_images"], real_result["num_noise_images"]) == (350, 350)


class Noise(Ancestral):
    """Draws what a model that has learned nothing draws."""

    def walk(self, denoise, levels, x, noise):
        yield Step(x, x)


def test_pure_noise_is_far_from_real_images_and_real_images_are_close_by_a_judge_that_says_how_good_it_is(
    tmp_path, cache
):
    found, _ = measured(
        tmp_path / "0", Quality(sampler=Noise(steps=2), features=Recogniser(), num_images=64, cache=cache)
    )
    precision = {kind: found.numbers[f"{kind}precision_recogniser_digits_train_64"] for kind in ("", "noise_", "real_")}
    assert max(precision[""], precision["noise_"]) <= 0.1 and precision["real_"] > 0.7
    assert re.search(r"^64 real images of digits test in place of drawn ones: .*precision [01]", found.text, re.M)
    assert re.search(r"^64 images of pure noise in place of drawn ones: .*precision 0", found.text, re.M)
    accuracy = f"{found.numbers['recogniser_accuracy']:.1%}"
    assert f"\nthe recogniser reads {accuracy} of 144 held-out images of digits train right (guessing: 1" in found.text


class Blind(Pixels):
    """Sees the same in everything."""

    def extractor(self, subject, cache):
        return Extractor(lambda pixels: Extracted(torch.zeros(len(pixels), 3)))


def test_features_that_take_noise_for_real_images_are_refused_before_anything_is_drawn(tmp_path, cache):
    sampler = Showing(split="test")
    with pytest.raises(ValueError, match=r"precision of 1, .*'evaluation\.metrics=\[frechet_distance,kernel_dist"):
        Quality(sampler=sampler, features=Blind(), num_images=20, cache=cache)(subject(), tmp_path)
    assert sampler.drawn == 0 and not list(tmp_path.glob("*.*"))
    without = Quality(sampler=sampler, features=Blind(), num_images=20, metrics=("recall",), cache=cache)
    assert without(subject(), tmp_path).numbers["real_recall_pixels_digits_train_20"] == 1


@pytest.mark.parametrize("evaluation", [Quality, Memorisation])
def test_a_recogniser_that_learned_too_little_judges_nothing(tmp_path, cache, monkeypatch, evaluation):
    monkeypatch.setattr(recogniser, "SMALL", recogniser.SMALL._replace(steps=1))
    sampler = Showing(split="test")
    with pytest.raises(
        ValueError, match=r"reads only .* of 144 held-out images of digits train right .*takes 7\d\.\d%; set evalu"
    ):
        evaluation(sampler=sampler, features=Recogniser(), num_images=20, cache=cache)(subject(), tmp_path)
    assert sampler.drawn == 0


def test_without_unseen_images_some_real_ones_are_left_out_to_show_what_to_expect(tmp_path):
    quality = Quality(sampler=Showing(split="train"), features=Pixels(), num_images=100)
    found = quality(subject(held_out=False), tmp_path)
    assert "\n100 of the real images of digits train, left out, in place of drawn ones: " in found.text
    assert found.numbers["real_precision_pixels_digits_train_100"] > 0.7


def test_a_damaged_cache_is_computed_again_to_the_same_numbers(tmp_path, cache):
    def numbers(folder):
        showing = Showing(split="test")
        return measured(folder, Quality(sampler=showing, features=Recogniser(), num_images=20, cache=cache))[0].numbers

    first = numbers(tmp_path / "0")
    before = {file: file.read_bytes() for file in cache.iterdir()}
    for file in before:
        file.write_bytes(file.read_bytes()[:-100])
    assert numbers(tmp_path / "1") == first
    assert {file: file.read_bytes() for file in cache.iterdir()}.keys() == before.keys()


def test_copies_of_training_images_are_known_in_every_space(tmp_path, cache):
    for features in (Pixels(), Recogniser()):
        copying, _ = measured(
            tmp_path / features.name,
            Memorisation(sampler=Showing(split="train"), features=features, num_images=30, cache=cache),
        )
        what = f"{features.name}_digits_train_30"
        # The features of an image depend on its batch in the last bits.
        assert copying.numbers[f"nearest_training_distance_{what}"] < 1e-3
        assert copying.numbers[f"copies_{what}"] == 1
        assert {file.name for file in (tmp_path / features.name).iterdir()} == {
            "result.json",
            "nearest.png",
            "distances.png",
        }
    new, result = measured(
        tmp_path / "new", Memorisation(sampler=Showing(split="test"), features=Pixels(), num_images=355, cache=cache)
    )
    assert new.numbers["copies_pixels_digits_train_355"] == 0
    assert result["nearest_training_image"]["drawn"] == pytest.approx(result["nearest_training_image"]["test"])


def test_too_few_features_for_a_covariance_are_told(tmp_path, cache):
    found, _ = measured(
        tmp_path / "0", Quality(sampler=Showing(split="test"), features=Pixels(), num_images=64, cache=cache)
    )
    assert "too high with no more images than the 64 features" in found.text
    assert not any(name.startswith(("fid", "kid", "inception", "class")) for name in found.numbers)


@pytest.mark.parametrize(
    "features, settings, message",
    [
        (Pixels(), {"metrics": ["fud"]}, r"no metric 'fud' of pixels features; .*\[frechet_distance,"),
        (Recogniser(), {"metrics": ["fid"]}, r"need evaluation/features=inception"),
        (Inception(), {"metrics": ["frechet_distance"]}, r"\[fid,kid,inception_score,precision,recall\]"),
        (Pixels(), {"metrics": []}, "no metric"),
        (Pixels(), {"reference": "val"}, "train or test"),
        (Pixels(), {"num_images": 3}, r"evaluation\.num_images=4"),
        (Pixels(), {"neighbours": 500}, r"evaluation\.num_images=501"),
        (Pixels(), {"neighbours": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(features, settings, message):
    with pytest.raises(ValueError, match=message):
        Quality(sampler=Ancestral(steps=2), features=features, **settings)


def named(**settings):
    return Quality(sampler=Ancestral(steps=2), features=Pixels(), **settings)


def test_what_is_measured_otherwise_lies_elsewhere():
    settings = {"neighbours": 8}, {"metrics": ["recall"]}, {"metrics": ["recall"], "neighbours": 8}, {"num_images": 20}
    names = {subject().folder_name(named(**one)) for one in ({}, *settings)}
    assert len(names) == 5
    everything = list(reversed(Pixels.metrics.values()))
    assert named(metrics=everything, neighbours=3).name == named().name == "quality_pixels_500_images_ancestral_2"


def test_metrics_of_other_neighbours_have_other_names():
    real = named().real(subject())
    published, other = Extractor(see=lambda images: images), Extractor(see=lambda images: images, variant="weights_1f")
    assert named(num_images=20).what(real, published) == "pixels_digits_train_20"
    assert named(num_images=20).what(real, other) == "pixels_weights_1f_digits_train_20"
    assert named(num_images=20, neighbours=8).what(real, published) == "pixels_digits_train_20_8_neighbours"


def test_a_subject_that_does_not_fit_is_refused(cache):
    quality = Quality(sampler=Ancestral(steps=2), features=Recogniser(), cache=cache)
    quality.check(subject())
    larger = subject()._replace(training_images=lambda: Digits(image_size=16))
    with pytest.raises(ValueError, match="1x8x8, digits train has 1x16x16"):
        quality.check(larger)
    with pytest.raises(ValueError, match=r"evaluation\.reference=train"):
        Quality(sampler=Ancestral(steps=2), features=Pixels(), reference="test").check(subject(held_out=False))
    unlabelled = Digits(image_size=8)
    unlabelled.classes = None
    with pytest.raises(ValueError, match="no labels for a recogniser"):
        quality.check(subject()._replace(training_images=lambda: unlabelled))
    unlabelled.classes = ("0",)
    with pytest.raises(ValueError, match="all of one class"):
        quality.check(subject()._replace(training_images=lambda: unlabelled))
    few = Synthetic(image_size=8, channels=1, num_classes=2, num_images=99)
    with pytest.raises(ValueError, match=r"99 images, too few to teach .*give 100 or more"):
        quality.check(subject()._replace(training_images=lambda: few))
    with pytest.raises(ValueError, match="1442 images, too few"):
        Quality(sampler=Ancestral(steps=2), features=Pixels(), neighbours=2000, num_images=3000).check(subject())
