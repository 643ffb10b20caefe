"""Which class each drawn image shows."""

import pytest

from diffusion.inference.labels import chosen_labels

DIGITS = tuple("0123456789")
YEARS = ("1990", "2000", "3")


@pytest.mark.parametrize(
    "labels, classes, numbers",
    [
        (None, None, None),
        (None, YEARS, [0, 1, 2]),
        ("all", YEARS, [0, 1, 2]),
        ([3, 7], DIGITS, [3, 7]),
        (7, DIGITS, [7]),
        ("7", DIGITS, [7]),
        (["cat", "dog", "cat"], ("cat", "dog"), [0, 1, 0]),
        ([1], ("cat", "dog"), [1]),
        (1.5, ("1", "1.5"), [1]),
        ([3], YEARS, [2]),  # a class that is called so comes before a number
        ([2000, 0], YEARS, [1, 0]),
    ],
)
def test_classes_are_named_or_numbered(labels, classes, numbers):
    assert chosen_labels(labels, classes) == numbers


@pytest.mark.parametrize(
    "labels, classes, message",
    [
        ([3], None, "the model is unconditional; leave labels out"),
        ("all", None, "leave labels out"),
        ([10], DIGITS, "no class 10; it has 10: 0, 1, 2"),
        ([-1], DIGITS, "no class -1"),
        (["bird"], ("cat", "dog"), "no class 'bird'; it has 2: cat, dog"),
        ("1", ("cat", "dog"), "no class '1'"),
        (1.5, DIGITS, "no class 1.5; it has 10"),
        (True, DIGITS, "no class True"),
        ([True], DIGITS, "no class True"),
        ([], DIGITS, r"labels=\[\] asks for no class"),
        ([99], [str(n) for n in range(20, 60)], r"40: 20, .*, 31, \.\.\."),
    ],
)
def test_unknown_classes_are_refused_with_the_known_ones(labels, classes, message):
    with pytest.raises(ValueError, match=message):
        chosen_labels(labels, classes)
