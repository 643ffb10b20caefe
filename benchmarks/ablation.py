"""What a sweep found, its seeds averaged: python benchmarks/ablation.py runs/ [--measures bits_per_dim ...]

Reads run folders, such as those of `python train.py experiment=digits_ablation seed=0,1,2`, groups those that differ by
their seed only, and prints and draws the mean and the spread of every measure that all of them have: a standard
deviation over seeds, or without seeds nothing. A setting that follows from another, as a variance does from an
objective, goes unsaid.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from digits_judge import mean_and_spread

from diffusion.cli.command import report_errors
from diffusion.pictures.plots import quiet_matplotlib
from diffusion.report.differences import Group, groups
from diffusion.report.runs import RunRecord, find_runs, read_run
from diffusion.runs.metrics import lower_is_better


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--measures", nargs="+", default=[], metavar="NAME", help="by the beginnings of their names")
    parser.add_argument("--out", type=Path, default=Path("ablation.png"))
    chosen = parser.parse_args()
    runs = [read_run(folder) for folder in find_runs([chosen.runs])[0]]
    finished = [run for run in runs if run.state == "finished"]
    if not finished:
        raise ValueError(f"{chosen.runs} holds no finished run; wait until they end, or run their command again")
    names = measures(finished, chosen.measures)
    if not names:
        wanted = " or ".join(chosen.measures) or "measure"
        raise ValueError(f"{chosen.runs} holds no finished runs of which all have a {wanted}; give --measures loss")
    grouped = shortened(groups(finished))
    print(table(grouped, names))
    plot(grouped, names, chosen.out)
    print(f"Look at {chosen.out}")


def shortened(grouped: list[Group]) -> list[Group]:
    """The groups, their labels without the settings that follow from another one."""
    rows = [dict(part.split(" ", 1) for part in group.label.split(" · ") if " " in part) for group in grouped]
    names = [name for name in rows[0] if all(name in row for row in rows)]

    def follows(name: str, other: str) -> bool:
        return len({(row[other], row[name]) for row in rows}) == len({row[other] for row in rows})

    extra = {a for a in names for b in names if a != b and follows(a, b) and not follows(b, a)}
    labels = [" · ".join(f"{name} {value}" for name, value in row.items() if name not in extra) for row in rows]
    told_apart = len(set(labels)) == len(grouped)
    return (
        [group._replace(label=label) for group, label in zip(grouped, labels, strict=True)] if told_apart else grouped
    )


def measures(runs: list[RunRecord], wanted: list[str]) -> list[str]:
    """The measures that all runs have, in the order of `wanted`; by default those of quality that have a direction."""
    shared = [name for name in values(runs[0]) if all(name in values(run) for run in runs)] if runs else []
    if wanted:
        return [name for beginning in wanted for name in shared if name.startswith(beginning)]
    return [name for name in shared if (name, "") in runs[0].measured and lower_is_better(name) is not None]


def values(run: RunRecord) -> dict[str, float]:
    """The last value of everything that was logged or measured while training."""
    found = {name: value for row in run.logged for name, value in row.items()}
    return found | {name: run.series((name, setting))[-1][1] for name, setting in run.measured if not setting}


def table(grouped: list[Group], names: list[str]) -> str:
    """A line a group, as markdown."""
    lines = ["| what differs | seeds | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for group in grouped:
        cells = []
        for name in names:
            mean, spread = mean_and_spread([values(run)[name] for run in group.runs])
            cells.append(f"{mean:.3f} ± {spread:.3f}" if len(group.runs) > 1 else f"{mean:.3f}")
        lines.append(f"| {group.label} | {len(group.runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(grouped: list[Group], names: list[str], path: Path) -> None:
    """A row a group and a panel a measure: a dot a seed, and a bar at their mean."""
    quiet_matplotlib()
    from matplotlib.figure import Figure

    size = 3.2 * len(names) + 2.5, 0.42 * len(grouped) + 1.2
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    rows = list(range(len(grouped)))[::-1]
    for panel, name in zip(panels, names, strict=True):
        for row, group in zip(rows, grouped, strict=True):
            found = [values(run)[name] for run in group.runs]
            panel.plot(found, [row] * len(found), "o", color="#0072b2", markersize=4, alpha=0.6)
            panel.plot(sum(found) / len(found), row, "|", color="#d55e00", markersize=14, markeredgewidth=2)
        every = [values(run)[name] for group in grouped for run in group.runs]
        if max(every) > 10 * min(every) > 0:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter("{x:g}")
        panel.set_title(textwrap.fill(name.replace("_", " ").replace("frechet", "Fréchet"), 24), fontsize=9)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(rows, [group.label for group in grouped])
    figure.savefig(path)


if __name__ == "__main__":
    with report_errors("ablation"):
        main()
