"""A plot of several runs over the images they have seen, drawn as SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite
from typing import NamedTuple

from diffusion.report.axes import SMALLEST, Axis, brief, upright
from diffusion.runs.metric_direction import smooth

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 230, 42, 6, 10, 24
MOST_POINTS = 300
Points = Sequence[tuple[float, float]]


class Line(NamedTuple):
    """The (images seen, value) of a run; runs of one group share their colour."""

    label: str
    group: int
    points: Points


class Plot(NamedTuple):
    """Lines under one title. Noisy ones are smoothed, the raw ones faint behind them; few points are marked."""

    title: str
    meaning: str
    lines: list[Line]
    noisy: bool = False
    logarithmic: bool = False
    from_zero: bool = False
    width: int = 380

    def svg(self) -> str:
        """The plot as an <svg> element; "" if no line has a finite point."""
        most = min(MOST_POINTS, max(MOST_POINTS * 20 // max(len(self.lines), 1), 60))
        lines = [line._replace(points=thin_out(line.points, most)) for line in self.lines]
        values = [value for line in lines for value in self.shown(line.points)]
        if not any(map(isfinite, values)):
            return ""
        across = Axis(0, max(x for line in lines for x, _ in line.points) or 1, LEFT, self.width - RIGHT)
        up = upright(
            values, start=HEIGHT - BOTTOM, end=TOP, logarithmic=self.logarithmic, from_zero=self.from_zero
        )  # fmt: skip
        told = escape(f"{self.title} over images seen: {', '.join(line.label for line in lines)}")
        drawn = [*frame(across, up), *(self.drawn(line, across, up) for line in lines)]
        opening = f'<svg viewBox="0 0 {self.width} {HEIGHT}" role="img" aria-label="{told}">'
        return f"{opening}{''.join(drawn)}</svg>"

    def shown(self, points: Points) -> list[float]:
        """The values that the eye shall follow."""
        values = [value for _, value in points]
        return smooth(values, max(len(values) // 25, 1)) if self.noisy and len(values) >= 20 else values

    def drawn(self, line: Line, across: Axis, up: Axis) -> str:
        main = [(x, value) for (x, _), value in zip(line.points, self.shown(line.points), strict=True)]
        raw = path(line.points, across, up, "raw") if self.noisy and len(main) >= 20 else ""
        few = [(x, value) for x, value in main if isfinite(value)] if len(main) <= 12 else []
        dots = "".join(f'<circle cx="{across.at(x):.1f}" cy="{up.at(value):.1f}" r="3"/>' for x, value in few)
        lost = [x for x, value in line.points if not isfinite(value)][:1]
        crosses = "".join(cross(across.at(x), TOP + 8) for x in lost)
        look = f"g c{line.group % 8}{' dashed' if line.group >= 8 else ''}"
        return (
            f'<g class="{look}" data-group="{line.group}"><title>{escape(line.label)}</title>'
            f"{raw}{path(main, across, up, 'line')}{dots}{crosses}</g>"
        )


def cross(x: float, y: float) -> str:
    return f'<path class="lost" d="M{x - 4:.1f} {y - 4}l8 8m0-8l-8 8"><title>not finite from here</title></path>'


def thin_out(points: Points, most: int) -> Points:
    """At most `most` points, each the mean of as many neighbours: NaN where one of them is not finite."""
    points = [(x, value) for x, value in points if 0 <= x < 1 / SMALLEST]
    size = max(-(-len(points) // most), 1)
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    means = [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]
    return [(x, mean if abs(mean) < 1 / SMALLEST else float("nan")) for x, mean in means]


def path(points: Points, across: Axis, up: Axis, name: str) -> str:
    """A line through the points, broken where one cannot be drawn, and held within the frame."""
    steps, pen = [], "M"
    for x, value in points:
        if not isfinite(value) or (up.logarithmic and value <= 0):
            pen = "M"
            continue
        y = min(max(up.at(value), TOP), HEIGHT - BOTTOM)
        steps.append(f"{pen}{across.at(x):.1f} {y:.1f}")
        pen = "L"
    return f'<path class="{name}" d="{"".join(steps)}"/>'


def frame(across: Axis, up: Axis) -> Iterator[str]:
    """Faint lines at round numbers, and the numbers."""
    for tick in up.ticks():
        y = f"{up.at(tick):.1f}"
        yield f'<path class="grid" d="M{LEFT} {y}H{across.end}"/>'
        yield f'<text x="{LEFT - 7}" y="{y}" dy=".34em" text-anchor="end">{brief(tick)}</text>'
    for tick in across.ticks():
        x = across.at(tick)
        anchor = "end" if x > across.end - 12 else "middle"
        yield f'<text x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="{anchor}">{brief(tick)}</text>'
    yield f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{across.end}"/>'
