"""The tables of docs/proofs.md: python tests/proofs/page.py computes and writes them.

The tests beside this file compute the same numbers, hold them to their laws, and compare the page's with them.
A table is a `Table` in TABLES, and a place <!-- its name --> in the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "proofs.md"
if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parents[1] / "tests"))

from proofs import equalities, moments, orders, pure_noise  # noqa: E402
from proofs.cases import DETERMINISTIC, PROCESSES, STOCHASTIC  # noqa: E402


class Table(NamedTuple):
    """Its columns, what its rows are called, and the cells of a row."""

    columns: list[str]
    rows: Iterable[str]
    cells: Callable[[str], list[str]]


def order_and_error(found: tuple[float, float]) -> str:
    return f"{found[0]:.2f} ({found[1]:.1e})"


def per_process(
    figures: Callable[..., tuple[float, float]], samplers: Iterable[str], processes: Iterable[str], **way: bool
) -> Table:
    return Table(
        ["process and steps", *samplers],
        processes,
        lambda process: [order_and_error(figures(process, sampler, **way)) for sampler in samplers],
    )


EQUALITIES = {each.statement: each for each in equalities.ALL}
UP = ["chain, cosine", "straight, its time", "preserving, even log-SNR"]
TABLES = {
    "orders": per_process(orders.figures, DETERMINISTIC, PROCESSES),
    "encoding": per_process(orders.figures, DETERMINISTIC, UP, up=True),
    "one step": Table(
        ["formula", "order"], orders.ONE_STEP, lambda name: [f"{orders.local_order(orders.ONE_STEP[name][1]):.2f}"]
    ),
    "moments": per_process(moments.figures, STOCHASTIC, PROCESSES),
    "pure noise": Table(
        ["sampler", "ends at alpha 0.22", "ends at alpha 0"],
        pure_noise.SAMPLERS,
        lambda name: [f"{mean:.3f}" for mean in pure_noise.figures(name)],
    ),
    "equalities": Table(["equal", "to within"], EQUALITIES, lambda name: [f"{EQUALITIES[name].within:.0e}"]),
}


def written(name: str) -> list[list[str]]:
    """The rows of a table as the page has them, without its head."""
    block = place(name).search(PAGE.read_text(encoding="utf-8"))
    assert block, f"{PAGE} has no table <!-- {name} -->"
    lines = block[2].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def on_page(table: str, name: str) -> list[str]:
    """The cells of one row as the page has them."""
    (cells,) = [cells for first, *cells in written(table) if first == name]
    return cells


def numbers(cells: list[str]) -> tuple[list[float], list[float]]:
    """Those with an exponent, and those without."""
    found = [number for cell in cells for number in re.findall(r"-?\d[\d.]*(?:e[-+]\d+)?", cell)]
    return [float(number) for number in found if "e" in number], [float(n) for n in found if "e" not in n]


def place(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n)(.*?)(\n<!-- /{name} -->)", re.S)


def main() -> None:
    for name, (columns, rows, cells) in TABLES.items():
        head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        lines = [*head, *(f"| {' | '.join([row, *cells(row)])} |" for row in rows)]
        text = place(name).sub(lambda found: found[1] + "\n".join(lines) + found[3], PAGE.read_text(encoding="utf-8"))  # noqa: B023
        PAGE.write_text(text, encoding="utf-8")
        print(name, *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
