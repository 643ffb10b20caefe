"""The plots of a report, as SVG."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from diffusion.report.plots import COLOURS, Line, Plot, thin_out


def plotted(*values, group=0, **options):
    return Plot("loss", "", [Line("<run>", group, list(enumerate(values)))], **options).svg()


def test_a_plot_is_valid_and_says_what_it_shows():
    root = ElementTree.fromstring(plotted(1.0, 0.5, 0.25))
    assert root.get("role") == "img" and "<run>" in root.get("aria-label")
    assert [line.findtext("title") for line in root.iter("g") if line.get("data-group") == "0"] == ["<run>"]


def test_colours_are_the_page_s_and_groups_beyond_them_are_dashed_or_dotted():
    one, other, third = (plotted(1.0, 2.0, group=group) for group in (1, 9, 17))
    assert "var(--c1)" in one and "var(--c1)" in other and not any(colour in one for colour in COLOURS)
    assert "stroke-dasharray" not in one and "stroke-dasharray" in other and third != other


def test_a_line_breaks_where_a_value_is_not_finite_and_the_first_is_marked():
    root = ElementTree.fromstring(plotted(*[3.0] * 9, math.nan, *[1.0] * 9))
    line, cross = [part for part in root.iter("g") if part.get("data-group") == "0"]
    assert line.find("path").get("d").count("M") == 2 and cross.find("title").text == "<run>"


@pytest.mark.parametrize("values", [[], [math.nan] * 3])
def test_nothing_to_draw_draws_nothing(values):
    assert plotted(*values) == ""


@pytest.mark.parametrize("value", [0.0, -1.0, 1e300, -1e300, 1e-320, 5.0])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_any_number_can_be_drawn(value, logarithmic):
    ElementTree.fromstring(plotted(*[value, 1.0] * 20, noisy=True, logarithmic=logarithmic))


def test_decades_are_marked_on_a_logarithmic_axis_and_thousands_of_images_are_brief():
    svg = Plot("loss", "", [Line("a", 0, [(0.0, 0.01), (20_000.0, 10.0)])], logarithmic=True).svg()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"0.01", "0.1", "1", "10", "20k"} <= set(texts)


def test_thinning_keeps_the_mean_and_the_end():
    points = [(float(i), float(i % 7)) for i in range(700)]
    few = thin_out(points, 100)
    assert len(few) == 100 and few[-1][0] == 699
    assert sum(value for _, value in few) / 100 == pytest.approx(3.0)
