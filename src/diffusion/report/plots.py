"""Which plots a report has: quality, losses, losses by quartile of t, the optimizer, and speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffusion.report.curves import Line, Plot
from diffusion.report.differences import Group
from diffusion.report.table import measures, series

# Name in metrics.jsonl, title, meaning, whether it is noisy, whether its axis begins at zero.
OTHERS = [
    ("lr", "learning rate", "", False, True),
    ("grad_norm", "gradient norm", "before clipping", True, False),
    ("param_norm", "parameter norm", "", False, False),
    ("images_per_second", "images/s", "", True, True),
    ("tflops", "TFLOP/s", "", True, True),
    ("share_of_peak", "share of the device’s peak", "", True, True),
    ("memory_gb", "memory", "GB", False, True),
]


def sections(groups: Sequence[Group]) -> Iterator[tuple[str, list[Plot]]]:
    """A heading and its plots, most telling first; plots may turn out empty."""
    yield "Quality", list(quality(groups))
    yield "Loss", list(losses(groups))
    yield "Loss by quartile of t", list(quartiles(groups))
    yield "Optimizer and speed", list(others(groups))


def quality(groups: Sequence[Group]) -> Iterator[Plot]:
    """What was measured more than once; the table tells the rest."""
    for name, setting in measures([run for group in groups for run in group.runs]):
        held = lines(groups, name, setting)
        if (name, setting) != ("loss", "") and any(len(line.points) > 1 for line in held):
            yield Plot(name, setting.replace("_", " "), held, logarithmic=True)


def losses(groups: Sequence[Group]) -> Iterator[Plot]:
    """The loss and its terms, which are known by their quartiles."""
    names = logged(groups)
    for name in names:
        if name == "loss" or f"{name}_q0" in names:
            yield Plot(name, "", lines(groups, name), noisy=True, logarithmic=True)


def quartiles(groups: Sequence[Group]) -> Iterator[Plot]:
    """The loss of the least noisy quarter of the process to that of the noisiest."""
    for i, meaning in enumerate(("least noise", "", "", "most noise")):
        title = f"{25 * i}–{25 * i + 25} %"
        yield Plot(title, meaning, lines(groups, f"loss_q{i}"), noisy=True, logarithmic=True, width=290)


def others(groups: Sequence[Group]) -> Iterator[Plot]:
    for name, title, meaning, noisy, from_zero in OTHERS:
        spans = name == "grad_norm"
        yield Plot(title, meaning, lines(groups, name), noisy=noisy, logarithmic=spans, from_zero=from_zero)


def logged(groups: Sequence[Group]) -> list[str]:
    """All that the runs logged while training."""
    return list(dict.fromkeys(name for group in groups for run in group.runs for line in run.logged for name in line))


def lines(groups: Sequence[Group], name: str, setting: str = "") -> list[Line]:
    """A line for each run that has the number."""
    every = [(i, group, run) for i, group in enumerate(groups) for run in group.runs]
    found = [Line(group.label_of(run), i, series(run, (name, setting))) for i, group, run in every]
    return [line for line in found if line.points]
