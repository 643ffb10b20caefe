from types import SimpleNamespace

import pytest
import torch

from diffusion.data.digits import Digits
from diffusion.evaluation import recogniser
from diffusion.evaluation.accuracy import Accuracy, measure_accuracy, predict_classes
from diffusion.evaluation.features import held_out
from diffusion.evaluation.recogniser import LARGE, SMALL, Recogniser, random_shifts, train_and_test, train_recogniser
from diffusion.pictures.pixels import from_uint8


def digits(split):
    images = Digits(split=split, image_size=8)
    return from_uint8(images.pixels), images.labels


def test_a_judge_that_was_taught_nonsense_reads_nonsense():
    # Reading test images in spite of labels drawn by chance would mean that their labels leak.
    x, y = digits("train")
    chance = torch.randint(10, y.shape, generator=torch.Generator().manual_seed(0))
    taught = train_recogniser(x, chance, num_classes=10, seed=0, size=SMALL._replace(steps=100))
    read = predict_classes(taught, digits("test")[0])
    assert (read == digits("test")[1]).float().mean() < 0.35


def test_the_seed_alone_decides_the_judge_and_chance_elsewhere_goes_on():
    x, y = digits("train")
    judges = []
    for outside, seed in ((1, 0), (2, 0), (3, 1)):
        torch.manual_seed(outside)
        expected = torch.rand(3, generator=torch.Generator().manual_seed(outside))
        judges.append(train_recogniser(x, y, num_classes=10, seed=seed, size=SMALL._replace(steps=3))(x[:4]))
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(judges[0], judges[1]) and not torch.equal(judges[0], judges[2])


def test_a_shift_moves_an_image_whole_and_continues_its_border():
    torch.manual_seed(0)
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(50, 1, 8, 8)
    rows, columns = torch.arange(8), torch.arange(8)
    possible = {
        (d, r): x[0, 0][(rows + d).clamp(0, 7)][:, (columns + r).clamp(0, 7)] for d in (-1, 0, 1) for r in (-1, 0, 1)
    }
    moved = random_shifts(x, 1)[:, 0]
    seen = {key for image in moved for key, expected in possible.items() if torch.equal(image, expected)}
    assert seen == set(possible)


@pytest.mark.parametrize("classes, least", [(10, 0.775), (2, 0.875)])
def test_a_judge_must_have_come_most_of_the_way_from_guessing(classes, least):
    y = torch.arange(100) % classes
    always_0 = measure_accuracy(lambda x: torch.eye(classes)[torch.zeros(len(x), dtype=torch.long)], y, y)
    assert always_0.share == always_0.guessing == 1 / classes and always_0.least == pytest.approx(least)
    assert measure_accuracy(lambda x: torch.eye(classes)[x], y, y) == Accuracy(100, 100, 100 // classes)


def test_images_held_out_are_a_tenth_enough_to_test_on_and_never_more_than_half():
    assert [int(held_out(total).sum()) for total in (5000, 500, 120, 100, 7)] == [500, 50, 50, 50, 3]
    assert torch.equal(held_out(300), held_out(300))
    # By chance: images come class by class, or each class in turn.
    assert len((held_out(5000).nonzero() % 10).unique()) == 10


def test_training_says_how_long_it_takes(slow, capsys):
    x, y = digits("train")
    train_recogniser(x[:70], y[:70], num_classes=10, seed=0, size=SMALL._replace(steps=20))
    assert capsys.readouterr().err == "Teaching a classifier of 70 images: about 18 s left, 10% done\n"


def small_and_large(monkeypatch, *, steps, least_images):
    monkeypatch.setattr(recogniser, "SMALL", SMALL._replace(steps=steps))
    monkeypatch.setattr(recogniser, "LARGE", LARGE._replace(widths=(8, 8, 16), steps=60, least_images=least_images))


@pytest.mark.parametrize("steps, least_images, large", [(1, 1442, True), (1, 1443, False), (60, 0, False)])
def test_a_larger_judge_is_taught_where_a_small_one_reads_too_little_and_images_are_many(
    monkeypatch, steps, least_images, large
):
    small_and_large(monkeypatch, steps=steps, least_images=least_images)
    taught = train_and_test(Digits(split="train", image_size=8), torch.device("cpu"))
    accuracy = Accuracy(*taught["accuracy"].tolist())
    assert bool(taught["large"]) is large and (accuracy.share > accuracy.least) is (large or steps > 1)


def test_a_larger_judge_is_kept_and_says_its_size_in_the_names_of_what_it_measures(monkeypatch, tmp_path):
    small_and_large(monkeypatch, steps=1, least_images=0)
    images = Digits(split="train", image_size=8)
    model = SimpleNamespace(device=torch.device("cpu"))
    subject = SimpleNamespace(training_images=lambda: images, training_title="digits", model=model)
    fresh, kept = (Recogniser().extractor(subject, tmp_path) for _ in range(2))
    seen, again = (extractor.see(images.pixels[:50]) for extractor in (fresh, kept))
    assert seen.features.shape == (50, 16) and all(map(torch.equal, seen, again))
    assert (kept.variant, kept.fingerprint) == ("large", fresh.fingerprint)
