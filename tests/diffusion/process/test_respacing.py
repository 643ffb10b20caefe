"""Which steps are kept."""

import pytest

from diffusion import kept_steps


def test_a_number_keeps_the_first_and_the_last():
    assert kept_steps(10, None) == kept_steps(10, 10) == list(range(10))
    assert kept_steps(10, 4) == kept_steps(10, "4") == [0, 3, 6, 9]


def test_several_numbers_are_those_of_equal_sections_and_ddim_is_a_stride():
    assert kept_steps(9, "3,2,1") == kept_steps(9, [3, 2, 1]) == [0, 1, 2, 3, 5, 6]
    assert kept_steps(10, "ddim5") == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        (11, r"sampler\.steps must be at most 10"),
        ("2,6", r"at most 5 in section 2 of 2"),
        ("ten", r"cannot read sampler\.steps='ten'"),
        ("ddim6", r"the nearest that do are sampler\.steps=ddim3, sampler\.steps=ddim4, "),
    ],
)
def test_impossible_numbers_are_refused_with_possible_ones(spacing, message):
    with pytest.raises(ValueError, match=message):
        kept_steps(10, spacing)
