"""What a network is told of the images that it shall draw."""

import numpy as np
import torch

from diffusion.data.conditions import Label, SmallImage
from diffusion.data.synthetic import Synthetic
from diffusion.inference.prompts import Prompts, prompts_from
from diffusion.pictures.grid import grid


def flat(*values: float) -> torch.Tensor:
    """One image (1, 2, 2) of each grey."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def test_lists_start_again_when_they_end():
    prompts = Prompts({"y": torch.tensor([5, 7]), "low_res": flat(-1, 0, 1)}, shown=("low_res",))
    condition = prompts.condition(range(2, 7))
    assert condition["y"].tolist() == [5, 7, 5, 7, 5]
    assert condition["low_res"][:, 0, 0, 0].tolist() == [1, -1, 0, 1, -1]
    assert Prompts().condition(range(3)) == {}


def test_no_more_images_are_enlarged_than_there_are():
    small = Prompts({"low_res": flat(-1, 0, 1)}, shown=("low_res",))
    assert small.at_most(64) == 3 and small.at_most(2) == 2
    assert Prompts({"mask": flat(-1, 0, 1)}, true=flat(-1, 0)).at_most(64) == 2
    assert Prompts({"y": torch.tensor([1])}).at_most(64) == 64


def test_an_enlarged_image_stands_between_the_small_and_the_true_one():
    drawn, true = (torch.full((2, 1, 4, 4), grey) for grey in (0.5, 1.0))
    small = flat(-1.0, 0.0)
    enlarged = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = torch.cat([enlarged[:1], drawn[:1], true[:1], enlarged[1:], drawn[1:], true[1:]])
    assert np.array_equal(
        Prompts({"low_res": small}, shown=("low_res",), true=true).picture(drawn),
        grid(expected, columns=12, labels=["low_res", "drawn", "true"] * 2),
    )
    without = torch.cat([enlarged[:1], drawn[:1], enlarged[1:], drawn[1:]])
    told = Prompts({"low_res": small, "y": torch.tensor([1])}, shown=("low_res",), classes=("a", "b"))
    assert np.array_equal(told.picture(drawn), grid(without, columns=12, labels=["low_res", "drawn, b"] * 2))


def test_classes_are_columns_while_they_fit():
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for classes, columns in [(10, 10), (4, 8), (1000, 7)]:
        prompts = Prompts({"y": torch.arange(classes)})
        labels = [f"class {number % classes}" for number in range(40)]
        assert np.array_equal(prompts.picture(x), grid(x, columns=columns, labels=labels))
    assert np.array_equal(Prompts().picture(x), grid(x, columns=7))


def test_what_is_asked_for_is_said_in_words():
    brightness = torch.tensor([0.25, 1.0])
    prompts = Prompts({"y": torch.tensor([0, 2, -1])}, classes=("cat", "собака", "\U00012345"))
    assert prompts.labels([0, 1, 2, 3]) == ["cat", "class 2", "", "cat"]  # no font has the letter of the last
    told = prompts._replace(arguments={**prompts.arguments, "brightness": brightness, "low_res": flat(0)})
    assert told.labels([0, 1]) == ["cat, brightness 0.25", "class 2, brightness 1"]
    assert Prompts().labels([0, 1]) == ["", ""]


def test_prompts_are_the_first_images_with_what_they_should_become():
    images = Synthetic(image_size=8, channels=1, num_classes=3, num_images=12)
    conditions = {"y": Label(), "low_res": SmallImage(size=4)}
    prompts = prompts_from(conditions, images, 5, classes=images.classes)
    assert prompts.arguments["y"].tolist() == [0, 1, 2, 0, 1]
    assert torch.equal(prompts.arguments["low_res"], SmallImage(size=4)(prompts.true, torch.empty(0)))
    assert len(prompts.true) == 5
    assert len(prompts_from(conditions, images, 100, classes=images.classes).true) == 12
    assert prompts_from(conditions, images, 3, classes=None).arguments.keys() == {"low_res"}


def test_what_takes_no_image_is_asked_for_in_turn():
    images = Synthetic(image_size=8, channels=1, num_classes=3, num_images=12)
    prompts = prompts_from({"y": Label()}, images, 5, classes=images.classes)
    assert prompts.arguments["y"].tolist() == [0, 1, 2] and prompts.true is None
    assert prompts_from({"y": Label()}, images, 5, classes=None).arguments == {}
