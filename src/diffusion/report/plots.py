"""The plots of a report over the images that the runs have seen, as SVG in the page's colours, light or dark."""

import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite
from typing import Any, NamedTuple

from diffusion.pictures.plots import figure, quiet_matplotlib
from diffusion.report.differences import Group
from diffusion.report.runs import Measure, Points
from diffusion.report.table import measures

HEIGHT = 230
MOST_POINTS = 300
LARGEST = 1e30  # numbers beyond it, or below its inverse, are noise or a run that blew up
# The colours drawn with, and the page's variables that take their places.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#bf5b92", "#c98a00", "#56a5d8", "#5b4b9a", "#6b6b6b")
DASHES = ("-", (0, (5, 4)), (0, (1, 2)))  # of the first eight groups, of the next, and of those after them
VARIABLES = {"#6a6a66": "--soft", "#e4e3de": "--rule", **{colour: f"--c{i}" for i, colour in enumerate(COLOURS)}}
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 11, "axes.edgecolor": "#6a6a66",
    "xtick.color": "#6a6a66", "ytick.color": "#6a6a66", "grid.color": "#e4e3de", "axes.linewidth": 0.8,
    "xtick.major.size": 0, "ytick.major.size": 0, "axes.formatter.useoffset": False,
}  # fmt: skip
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


class Line(NamedTuple):
    """The (images seen, value) of a run; runs of one group share their colour."""

    label: str
    group: int
    points: Points


class Plot(NamedTuple):
    """Lines under one title. Noisy ones are smoothed, the raw ones faint behind them; few points are marked."""

    title: str
    meaning: str = ""
    lines: Sequence[Line] = ()
    noisy: bool = False
    logarithmic: bool = False
    from_zero: bool = False
    width: int = 380

    def svg(self) -> str:
        """The plot as an <svg> element; "" if no line has a finite point."""
        most = min(MOST_POINTS, max(MOST_POINTS * 20 // max(len(self.lines), 1), 60))
        lines = [line._replace(points=thin_out(line.points, most)) for line in self.lines]
        finite = [value for line in lines for value in self.values(line) if isfinite(value)]
        if not finite:
            return ""
        with quiet_matplotlib().rc_context(STYLE):
            picture, axes = figure(size=(self.width / 72, HEIGHT / 72), dpi=72)
            axes.grid(axis="x", visible=False)
            axes.grid(axis="y", alpha=1)
            axes.spines.left.set_visible(False)
            for i, line in enumerate(lines):
                self.draw(axes, line, gid=f"line-{i}")
            scale(axes, min(finite), max(finite), logarithmic=self.logarithmic, from_zero=self.from_zero)
            file = io.StringIO()
            picture.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
        name = escape(f"{self.title} over images seen: {', '.join(line.label for line in lines)}")
        opening = f'<svg viewBox="0 0 {self.width} {HEIGHT}" role="img" aria-label="{name}">'
        return opening + inline(file.getvalue(), lines)

    def values(self, line: Line) -> list[float]:
        """The values of the line itself: smoothed where they are noisy and many."""
        values = [value for _, value in line.points]
        return smooth(values, max(len(values) // 25, 1)) if self.noisy and len(values) >= 20 else values

    def draw(self, axes: Any, line: Line, *, gid: str) -> None:
        x, raw, values = [x for x, _ in line.points], [value for _, value in line.points], self.values(line)
        look: dict[str, Any] = dict(color=COLOURS[line.group % 8], gid=gid, linestyle=DASHES[line.group // 8 % 3])
        if values != raw:
            axes.plot(x, raw, **{**look, "linewidth": 0.8, "alpha": 0.22, "linestyle": "-"})
        axes.plot(x, values, linewidth=1.7, marker="o" if len(x) <= 12 else "", markersize=5, **look)
        lost = [at for at, value in line.points if not isfinite(value)]
        if lost:
            axes.plot(lost[:1], [0.96], "x", color=look["color"], gid=gid, transform=axes.get_xaxis_transform())


QUARTILES = {
    (f"loss_q{i}", ""): Plot(f"{25 * i}–{25 * i + 25} %", meaning, noisy=True, logarithmic=True, width=290)
    for i, meaning in enumerate(("least noise", "", "", "most noise"))
}
OTHERS = {
    ("lr", ""): Plot("learning rate", from_zero=True),
    ("grad_norm", ""): Plot("gradient norm", "before clipping", noisy=True, logarithmic=True),
    ("param_norm", ""): Plot("parameter norm"),
    ("images_per_second", ""): Plot("images/s", noisy=True, from_zero=True),
    ("tflops", ""): Plot("TFLOP/s", noisy=True, from_zero=True),
    ("share_of_peak", ""): Plot("share of the device’s peak", noisy=True, from_zero=True),
    ("memory_gb", ""): Plot("memory", "GB", from_zero=True),
}


def scale(axes: Any, low: float, high: float, *, logarithmic: bool, from_zero: bool) -> None:
    """Fit the axes to values from `low` to `high`, by their logarithm if that is asked for and they span a decade."""
    from matplotlib import ticker

    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    if logarithmic and low > 1 / LARGEST and high / low > 8:
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(low / 1.15, high * 1.15)
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 50 else (1,), numticks=8))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        return
    room = max(0.05 * (high - low), 0.002 * abs(high)) or 1.0
    axes.set_ylim(0 if low >= 0 and (from_zero or low == 0) else low - room, high + room)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))


def inline(svg: str, lines: Sequence[Line]) -> str:
    """What stands in an <svg> of matplotlib, in the page's colours and font, each line with its label and group."""
    content = svg[svg.index(">", svg.index("<svg")) + 1 :].replace("xlink:href", "href")
    content = re.sub(r"<style.*?</style>|font-size: [^;]*; font-family: [^;]*; ", "", content)
    content = re.sub(r'<g id="(?!line-)[^"]*"', "<g", content)
    for i, line in enumerate(lines):
        mark = f'<g class="g" data-group="{line.group}"><title>{escape(line.label)}</title'
        content = content.replace(f'<g id="line-{i}"', mark)
    return re.sub("|".join(VARIABLES), lambda found: f"var({VARIABLES[found[0]]})", content)


def smooth(values: Sequence[float], half: int) -> list[float]:
    """The mean of each value and its neighbours, `half` to either side and fewer towards the ends, so that they stay.

    The nearer weigh more; values that are not finite are left out, and stay as they are.
    """
    means = []
    for i, value in enumerate(values):
        reach = min(half, i, len(values) - 1 - i)
        near = {j: reach + 1 - abs(j - i) for j in range(i - reach, i + reach + 1) if isfinite(values[j])}
        mean = sum(values[j] * weight for j, weight in near.items()) / max(sum(near.values()), 1)
        means.append(mean if isfinite(value) else value)
    return means


def thin_out(points: Points, most: int) -> Points:
    """At most `most` points, each the mean of as many neighbours: NaN where one of them is not finite."""
    points = [(x, value) for x, value in points if 0 <= x < LARGEST]
    size = max(-(-len(points) // most), 1)
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    means = [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]
    return [(x, mean if abs(mean) < LARGEST else float("nan")) for x, mean in means]


def sections(groups: Sequence[Group]) -> Iterator[tuple[str, list[Plot]]]:
    """A heading and its plots, most telling first; plots may turn out empty."""
    runs = [run for group in groups for run in group.runs]
    names = dict.fromkeys(name for run in runs for row in run.logged for name in row)
    # The table shows what was measured only once. The loss has terms, which are known by their quartiles.
    repeated = [measure for measure in measures(runs)[1:] if any(len(run.series(measure)) > 1 for run in runs)]
    terms = [name for name in names if name == "loss" or f"{name}_q0" in names]
    found = {
        "Quality": {measure: Plot(measure[0], measure[1].replace("_", " "), logarithmic=True) for measure in repeated},
        "Loss": {(name, ""): Plot(name, noisy=True, logarithmic=True) for name in terms},
        "Loss by quartile of t": QUARTILES,
        "Optimizer and speed": OTHERS,
    }
    for heading, plots in found.items():
        yield heading, [plot._replace(lines=lines_of(groups, measure)) for measure, plot in plots.items()]


def lines_of(groups: Sequence[Group], measure: Measure) -> list[Line]:
    """A line for each run that has the number."""
    runs = [(i, group, run) for i, group in enumerate(groups) for run in group.runs]
    return [Line(group.label_of(run), i, points) for i, group, run in runs if (points := run.series(measure))]
