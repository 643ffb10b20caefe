"""The digits that come with the package."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from diffusion.data.digits import FILE, Digits


def test_splits_share_no_image_and_hold_all():
    train, test = (Digits(split=split, image_size=8) for split in ("train", "test"))
    assert (len(train), len(test)) == (1442, 355)
    kept = {image.numpy().tobytes() for image in torch.cat([train.pixels, test.pixels])}
    assert len(kept) == 1797


def test_each_digit_gives_a_fifth_to_the_test():
    train, test = (torch.bincount(Digits(split=split).labels) for split in ("train", "test"))
    assert torch.equal(test, (train + test) // 5)


def test_8x8_are_the_stored_levels_from_black_to_white():
    digits = Digits(image_size=8)
    assert digits.shape == (1, 8, 8)
    assert digits.pixels.unique().tolist() == [round(level * 255 / 16) for level in range(17)]
    first, label = digits[0]
    assert label == 0 and torch.equal(first[0], torch.tensor(np.load(FILE)["levels"][0] * 255.0 / 16).round().byte())


@pytest.mark.parametrize("size", [16, 32])
def test_enlarging_keeps_the_image_and_is_smooth(size):
    small, large = Digits(image_size=8).pixels.float(), Digits(image_size=size).pixels.float()
    # Averaged back, a digit differs by what the kernel blurs at the edges of strokes: 12 levels. Moved by a pixel: 44.
    assert (avg_pool2d(large, size // 8) - small).abs().mean() < 15
    assert large.diff(dim=-1).abs().amax() < 0.8 * small.diff(dim=-1).abs().amax()


def test_classes_are_the_digits():
    digits = Digits(split="test")
    assert digits.classes == tuple("0123456789") and sorted(set(digits.labels.tolist())) == list(range(10))


def test_impossible_wishes_say_what_to_type():
    with pytest.raises(ValueError, match=r"data\.split=train"):
        Digits(split="valid")
    with pytest.raises(ValueError, match=r"data\.image_size=16"):
        Digits(image_size=28)


def test_the_notice_of_the_licence_lies_beside_the_images():
    notice = (FILE.parent / "NOTICE").read_text()
    assert "Alpaydin" in notice and "CC BY 4.0" in notice
