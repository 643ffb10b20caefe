"""The table of the runs: what differs between them, what came out, how long it took."""

from collections.abc import Callable, Sequence
from itertools import chain
from math import floor, isfinite, log10
from statistics import median, stdev
from typing import NamedTuple

from diffusion.report.differences import (
    MANY,
    NONE,
    Group,
    differing,
    in_words,
    settings,
    short,
    short_names,
    unlike,
    usual,
)
from diffusion.report.runs import Measure, RunRecord
from diffusion.runs.metrics import best


class Cell(NamedTuple):
    """`text` with a `note` beside it; `value` is what a column is sorted by, `leads` says that none is better."""

    text: str
    note: str = ""
    value: float | None = None
    leads: bool = False


class Column(NamedTuple):
    """A heading, what it means, a cell a row, whether they are numbers, and whether those measure quality."""

    head: str
    meaning: str
    cells: list[Cell]
    numeric: bool = False
    graded: bool = False


def columns(runs: Sequence[RunRecord]) -> list[Column]:
    """All columns, a row a run."""
    each, words = setting_columns(runs)
    return [
        Column("run", "the run's folder", [Cell(name) for name in short_names(runs)]),
        Column("state", "how the run ended", [Cell(run.state, run.message) for run in runs]),
        format_number("steps", "steps trained", [run.step for run in runs], lambda value: f"{value:,.0f}"),
        *each,
        *(grade(measure, [[run] for run in runs]) for measure in measures(runs)),
        format_number("images/s", "median while training", [speed(run) for run in runs], lambda value: f"{value:,.0f}"),
        format_number("time", "spent training, pictures not counted", [run.seconds or None for run in runs], duration),
        *words,
    ]


def setting_columns(runs: Sequence[RunRecord]) -> tuple[list[Column], list[Column]]:
    """A column for each setting that differs; of many only for the seed, and one that says what is unlike most runs."""
    keys, own = differing(runs), [settings(run) for run in runs]
    heads, common = short(keys), usual(runs, keys)
    each = {key: Column(heads[key], key, [setting(one.get(key, NONE)) for one in own], True) for key in keys}
    if len(keys) <= MANY:
        return [*each.values()], []
    others = [key for key in keys if key != "seed"]
    words = [Cell(in_words(one, others, common) or NONE) for one in own]
    return [each[key] for key in keys if key == "seed"], [Column("settings", "what is unlike most runs", words)]


def measures(runs: Sequence[RunRecord]) -> list[Measure]:
    """The numbers to compare: the loss, then all that was measured."""
    return list(dict.fromkeys([("loss", ""), *(measure for run in runs for measure in run.measured)]))


def outcome(run: RunRecord, measure: Measure) -> tuple[float, float | None] | None:
    """The final and the best value, None without any; those of the loss are means over a tenth of the run."""
    values = [value for _, value in run.series(measure)]
    if measure == ("loss", ""):
        size = max(len(values) // 10, 1)
        ends = range(len(values), size - 1, -max(size // 10, 1))
        values = [sum(values[end - size : end]) / size for end in ends][::-1]
    return (values[-1], best(measure[0], values)) if values else None


def grade(measure: Measure, rows: Sequence[Sequence[RunRecord]]) -> Column:
    """A column of final values, a row a run, or the mean over several runs where their values are of one thing."""
    found = [[ends for run in runs if (ends := outcome(run, measure))] for runs in rows]
    alike = [len(ends) < 2 or comparable(measure, runs) for ends, runs in zip(found, rows, strict=True)]
    finals = [[final for final, _ in ends] if same else [] for ends, same in zip(found, alike, strict=True)]
    means = [sum(values) / len(values) if values else None for values in finals]
    style = decimals([mean for mean in means if mean is not None])
    leads = leading(measure, means, rows)
    cells = []
    for i, (values, mean) in enumerate(zip(finals, means, strict=True)):
        if mean is None:
            cells.append(Cell(NONE, "" if alike[i] else "not alike"))
            continue
        spread = f" ± {style(stdev(values))}" if len(values) > 1 and isfinite(mean) else ""
        top = found[i][0][1] if len(rows[i]) == 1 else None
        notes = [f"best {style(top)}"] if top is not None and style(top) != style(mean) else []
        notes += [f"real {style(real)}" for real in [rows[i][0].real.get(measure)] if real is not None]
        cells.append(Cell(style(mean) + spread, ", ".join(notes), mean, leads[i]))
    meaning = "mean of the last tenth" if measure == ("loss", "") else measure[1].replace("_", " ")
    return Column(measure[0], meaning or "while training", cells, True, True)


def leading(measure: Measure, values: Sequence[float | None], rows: Sequence[Sequence[RunRecord]]) -> list[bool]:
    """Which of the values, one of each row of runs, are the best.

    A row in which a run failed leads nothing: its values are not those that it was to have.
    """
    able = [None if any(run.state == "failed" for run in row) else v for v, row in zip(values, rows, strict=True)]
    ranked = sum(value is not None for value in values) > 1 and comparable(measure, [*chain(*rows)])
    winner = best(measure[0], [value for value in able if value is not None]) if ranked else None
    return [value is not None and value == winner for value in able]


def comparable(measure: Measure, runs: Sequence[RunRecord]) -> bool:
    """False where the runs' numbers were found on other images, in another way, or are losses of other objectives."""
    different = unlike(runs)
    if measure == ("loss", ""):
        return not any(key.startswith(("diffusion", "data")) for key in different)
    # A flip changes the images to learn from only. What evaluate.py found says itself how: in its setting.
    places = ("data",) if measure[1] else ("data", "train.evaluations.")
    return not any(key.startswith(places) and not key.endswith(".flip") for key in different)


def setting(text: str) -> Cell:
    """A setting, sorted as a number where it is one."""
    try:
        return Cell(text, value=float(text))
    except ValueError:
        return Cell(text)


def format_number(head: str, meaning: str, values: Sequence[float | None], style: Callable[[float], str]) -> Column:
    return Column(head, meaning, [Cell(NONE) if v is None else Cell(style(v), value=v) for v in values], True)


def speed(run: RunRecord) -> float | None:
    speeds = [line["images_per_second"] for line in run.logged if isfinite(line.get("images_per_second", float("nan")))]
    return median(speeds) if speeds else None


def decimals(values: Sequence[float]) -> Callable[[float], str]:
    """A format with the same decimals for all, so that they align: four digits for a typical one, none for counts."""
    sizes = [abs(value) for value in values if isfinite(value) and value]
    whole = all(size == round(size) for size in sizes)
    places = 0 if whole else min(max(3 - floor(log10(median(sizes))), 0), 7)

    def style(value: float) -> str:
        if not isfinite(value):
            return str(value).replace("nan", "NaN")
        return f"{value:.{places}f}" if abs(value) < 1e6 else f"{value:.3g}"

    return style


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"


def over_seeds(several: Sequence[Group]) -> list[Column]:
    """A row for each group of several runs, which differ by their seed only: mean ± standard deviation; [] without."""
    several = [group for group in several if len(group.runs) > 1]
    if not several:
        return []
    counts = [Cell(str(len(group.runs)), value=len(group.runs)) for group in several]
    found = measures([run for group in several for run in group.runs])
    return [
        Column("settings", "all that differs but the seed", [Cell(group.label) for group in several]),
        Column("seeds", "how many runs", counts, True),
        *(grade(measure, [group.runs for group in several]) for measure in found),
    ]
