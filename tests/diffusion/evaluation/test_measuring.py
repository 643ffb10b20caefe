"""The likelihood and the recognition of models whose figures are known."""

import json
import re

import numpy as np
import pytest
import torch
from toy_gaussian import Called

from diffusion import Ancestral, Cosine, Epsilon, FixedSmall, GaussianDiffusion, Hybrid, LearnedRange, Simple, Start
from diffusion.config.preflight import check_measurable
from diffusion.data.digits import Digits
from diffusion.evaluation.continuous_likelihood import ContinuousLikelihood
from diffusion.evaluation.density import Density
from diffusion.evaluation.likelihood import Likelihood
from diffusion.evaluation.recognition import Recognition
from diffusion.evaluation.standard_error import estimate, measured_numbers
from diffusion.evaluation.subject import Subject
from diffusion.inference.labels import numbers_of
from diffusion.inference.trained import Trained
from diffusion.pictures.pixels import from_uint8

DATA = {"_target_": "diffusion.data.digits.Digits", "split": "train", "image_size": 8, "flip": False}
DIGITS = [str(digit) for digit in range(10)]


def network(x_t, time, y):
    """Depends on every input, so that no mix-up of images, times or labels goes unseen."""
    shift = (0.1 * y + 0.001 * time).view(-1, 1, 1, 1)
    return torch.cat([0.9 * x_t - 0.1 * shift, torch.tanh(x_t - shift)], dim=1)


def subject_of(images, *, classes=DIGITS, batch_size=4, seed=0, held_out=True) -> Subject:
    diffusion = GaussianDiffusion(
        steps=6, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid()
    )
    model = Trained(
        Called(network, "y"), diffusion, images.shape, classes, {"data": DATA}, 12, "raw", torch.device("cpu")
    )
    data = {**DATA, "split": "test"}
    training = lambda: Digits(image_size=8)  # noqa: E731
    return Subject(model, images, data, "digits test", held_out, training, "digits train", batch_size, seed)


def measured(folder, batch_size=4, seed=0, **options):
    likelihood = Likelihood(num_images=10, **options)
    folder.mkdir()
    found = likelihood(subject_of(Digits(split="test", image_size=8), batch_size=batch_size, seed=seed), folder)
    return found, json.loads((folder / "result.json").read_text()), np.load(folder / "terms.npz")


def test_the_seed_alone_decides_the_bound_whatever_the_batch_size(tmp_path):
    runs = [measured(tmp_path / str(i), batch_size=n, seed=s)[2] for i, (n, s) in enumerate([(4, 0), (7, 0), (4, 1)])]
    for name in ("total", "vb", "x_0_mse", "eps_mse"):
        # The sums over pixels may be taken in another order.
        assert np.allclose(runs[0][name], runs[1][name], rtol=1e-5)
        assert not np.allclose(runs[0][name], runs[2][name], rtol=1e-5)


def test_prior_and_terms_add_up_to_the_figure_that_is_told(tmp_path):
    found, result, terms = measured(tmp_path / "0")
    assert terms["vb"].shape == (10, 6)
    assert np.allclose(terms["vb"].sum(1) + terms["prior"], terms["total"], rtol=1e-6)
    assert np.isclose(result["bits_per_dim"], terms["total"].mean(), rtol=1e-6)
    assert found.text.startswith(f"{result['bits_per_dim']:.3f} +- {result['standard_error']:.3f} bits/dim")
    assert found.numbers["bits_per_dim"] == result["bits_per_dim"]


LIKELIHOODS = [Likelihood(num_images=4), ContinuousLikelihood(num_images=4, levels=4), Density(num_images=4, steps=2)]


@pytest.mark.parametrize("evaluation", LIKELIHOODS)
def test_a_result_holds_what_training_logs_so_that_it_knows_what_is_measured(tmp_path, evaluation):
    found = evaluation(subject_of(Digits(split="test", image_size=8)), tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    figure, error = found.numbers
    assert result[figure] == found.numbers[figure] and error == f"{figure}_standard_error"


@pytest.mark.parametrize("evaluation", LIKELIHOODS)
def test_measuring_says_how_long_it_takes(tmp_path, slow, capsys, evaluation):
    evaluation(subject_of(Digits(split="test", image_size=8), batch_size=2), tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"Measuring the (bound|continuous bound|density): about \d+ s left, \d+% done", line)


def test_what_is_measured_in_one_training_has_names_of_its_own(tmp_path):
    subject = subject_of(Digits(split="test", image_size=8))
    names = [name for evaluation in LIKELIHOODS for name in evaluation(subject, tmp_path).numbers]
    assert len(set(names)) == len(names)


def test_the_first_column_is_the_noisiest_step_and_steps_are_those_of_training(tmp_path):
    _, _, terms = measured(tmp_path / "0", steps=3)
    assert terms["t"].tolist() == [5, 2, 0]
    assert terms["x_0_mse"][:, 0].mean() > terms["x_0_mse"][:, -1].mean()


def test_the_images_are_spread_over_the_set_and_no_more_than_it_has():
    subject = subject_of(Digits(split="test", image_size=8))
    assert measured_numbers(subject, 5) == [0, 71, 142, 213, 284]
    assert measured_numbers(subject, None) == list(range(355))
    with pytest.raises(ValueError, match=r"355 images, not 356; set evaluation\.num_images=355"):
        Likelihood(num_images=356).check(subject)
    with pytest.raises(ValueError, match=r"evaluation\.steps must be at most 6"):
        Likelihood(steps=7).check(subject)
    with pytest.raises(ValueError, match=r"at least 2 steps, .*evaluation\.steps"):
        Likelihood(steps=1).check(subject)


def test_a_standard_error_is_the_spread_of_means_of_as_many_images():
    draws = torch.randn(4000, 25, generator=torch.Generator().manual_seed(0)) * 3 + 7
    errors = torch.tensor([estimate(row)[1] for row in draws])
    assert estimate(draws[0])[0] == pytest.approx(draws[0].mean().item())
    # The spread of 4000 means is known to 1/sqrt(8000) = 1.1 %.
    assert errors.square().mean().sqrt().item() == pytest.approx(draws.mean(1).std().item(), rel=0.04)


def test_labels_reach_the_network_by_the_name_of_their_class():
    images = Digits(split="test", image_size=8)
    subject = subject_of(images)
    right = subject.examples(range(20)).condition["y"]
    images.classes, images.labels = tuple(reversed(DIGITS)), 9 - images.labels
    assert torch.equal(right, subject_of(images).examples(range(20)).condition["y"])
    assert numbers_of(["plane", "car"], ["0", "1"]) == [0, 1]  # released weights only number their classes


def test_images_that_do_not_fit_the_model_are_refused():
    model = subject_of(Digits(image_size=8)).model
    with pytest.raises(ValueError, match=r"1x8x8, the data have 1x16x16; set data\.image_size=8"):
        check_measurable(model, Digits(image_size=16))
    images = Digits(image_size=8)
    images.classes = ("0", "cat")
    with pytest.raises(ValueError, match="no class 'cat'"):
        check_measurable(model, images)
    images.classes = None
    with pytest.raises(ValueError, match="have no labels"):
        check_measurable(model, images)


def copying(x, time, y):
    """Expects training images of the class asked for, but of the next class from 5 on."""
    pixels, labels = Digits(image_size=8).read(range(1442))
    wanted = [label if label < 5 else (label + 1) % 10 for label in y.tolist()]
    return torch.stack([from_uint8(pixels)[labels == label][i] for i, label in enumerate(wanted)])


def test_copies_are_known_as_copies_and_wrong_classes_as_wrong(tmp_path):
    subject = subject_of(Digits(split="test", image_size=8), batch_size=40)
    sure = GaussianDiffusion(steps=6, schedule=Cosine(), prediction=Start(), variance=FixedSmall(), loss=Simple())
    model = subject.model._replace(network=Called(copying, "y"), diffusion=sure)
    subject = subject._replace(model=model)
    Recognition(sampler=Ancestral(steps=2), num_images=40)(subject, tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["classifier_accuracy"] >= 0.97
    by_class = result["recognised_by_class"]
    # One or two of the training images themselves may be misread.
    assert sum(by_class[digit] for digit in "01234") >= 4.5 and sum(by_class[digit] for digit in "56789") <= 0.5
    assert set(result["nearest_training_image"]["drawn"].values()) == {0.0}
    assert result["nearer_than_any_test_image"] == 40
    assert result["nearest_training_image"]["test"]["0.0"] > 0.1


def test_recognition_by_another_number_of_images_lies_beside_the_first():
    subject = subject_of(Digits(split="test", image_size=8))
    names = {subject.folder_name(Recognition(sampler=Ancestral(steps=2), num_images=count)) for count in (20, 500)}
    assert len(names) == 2
    odd = subject._replace(title="own [사진] test").folder_name(Likelihood(steps="5,5"))
    assert re.fullmatch(r"likelihood_5-5_steps_own_-_test-[a-z2-7]{6}_raw_step_12", odd), odd


def test_images_that_are_no_part_of_the_training_set_are_told_from_others_of_their_title():
    subject, evaluation = subject_of(Digits(split="test", image_size=8)), Likelihood(steps="5,5")
    own, other = (each.folder_name(evaluation) for each in (subject, subject._replace(fingerprint="abcdef")))
    assert other == own.replace("digits_test", "digits_test_abcdef") != own


def test_recognition_needs_classes_two_images_of_each_and_unseen_test_images():
    images, recognition = Digits(split="test", image_size=8), Recognition(sampler=Ancestral(steps=2))
    recognition.check(subject_of(images))
    with pytest.raises(ValueError, match="unconditional"):
        recognition.check(subject_of(images, classes=None))
    with pytest.raises(ValueError, match="were seen in training"):
        recognition.check(subject_of(images, held_out=False))
    with pytest.raises(ValueError, match=r"set evaluation\.num_images=20"):
        Recognition(sampler=Ancestral(steps=2), num_images=19).check(subject_of(images))
