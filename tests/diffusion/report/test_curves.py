"""Plots drawn as SVG."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from diffusion.report.axes import Axis, brief, round_step, upright
from diffusion.report.curves import Line, Plot, thin_out


@pytest.mark.parametrize("low, high", [(0, 80_000), (0.03, 0.07), (-2, 3), (67.1, 67.3), (0, 1e-4)])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_ticks_are_few_and_within(low, high, logarithmic):
    axis = upright([low, high], start=200, end=0, logarithmic=logarithmic, from_zero=False)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 12 and len({brief(tick) for tick in ticks}) == len(ticks)
    assert all(-1e-6 <= axis.at(tick) <= 200 + 1e-6 for tick in ticks)


def test_decades_are_equally_far_apart():
    axis = Axis(0.01, 10, 0, 300, logarithmic=True)
    assert [round(axis.at(value)) for value in (0.01, 0.1, 1, 10)] == [0, 100, 200, 300]


def test_steps_are_round():
    assert [round_step(least) for least in (0.9, 1, 1.1, 3, 6)] == [1, 1, 2, 5, 10]


def test_numbers_are_brief():
    assert [brief(value) for value in (0, 0.05, 20_000, 1.5e6, 3 * 0.1)] == ["0", "0.05", "20k", "1.5M", "0.3"]


def drawn(*values, **options):
    return Plot("loss", "", [Line("<run>", 0, list(enumerate(values)))], **options).svg()


def test_a_plot_is_valid_and_says_what_it_shows():
    root = ElementTree.fromstring(drawn(1.0, 0.5, 0.25))
    assert root.get("role") == "img" and "<run>" in root.get("aria-label")


def test_a_line_breaks_where_a_value_is_not_finite():
    (line,) = re.findall(r'class="line" d="([^"]*)"', drawn(3.0, 2.0, math.nan, 1.0, math.inf, 2.0))
    assert re.findall("[ML]", line) == ["M", "L", "M", "M"]


@pytest.mark.parametrize("values", [[], [math.nan] * 3])
def test_nothing_to_draw_draws_nothing(values):
    assert drawn(*values) == ""


@pytest.mark.parametrize("value", [0.0, -1.0, 1e300, -1e300, 1e-320, 5.0])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_any_number_can_be_drawn(value, logarithmic):
    ElementTree.fromstring(drawn(*[value, 1.0] * 20, noisy=True, logarithmic=logarithmic))


def test_thinning_keeps_the_mean_and_the_end():
    points = [(float(i), float(i % 7)) for i in range(700)]
    few = thin_out(points, 100)
    assert len(few) == 100 and few[-1][0] == 699
    assert sum(value for _, value in few) / 100 == pytest.approx(3.0)
