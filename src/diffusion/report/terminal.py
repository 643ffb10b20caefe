"""The table of the runs as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffusion.report.differences import groups
from diffusion.report.runs import read
from diffusion.report.table import Column, columns, over_seeds


def text_table(folders: Sequence[Path]) -> str:
    """The table of the runs in `folders` for a terminal; an asterisk marks the best."""
    runs = [run for group in groups([read(folder) for folder in folders]) for run in group.runs]
    return "\n\n".join(plain(table) for table in (columns(runs), over_seeds(runs)) if table)


def plain(table: Sequence[Column]) -> str:
    """Aligned columns of text; what failed runs say, which may be long, ends their rows."""
    parts, ends = [], [""] * (len(table[0].cells) + 1)
    for column in table:
        marks = ["*" if cell.leads else " " * any(other.leads for other in column.cells) for cell in column.cells]
        notes = ["", *(cell.note for cell in column.cells)]
        texts = [column.head, *(cell.text + mark for cell, mark in zip(column.cells, marks, strict=True))]
        parts.append(aligned(texts, right=column.numeric))
        if not column.numeric:
            ends = [end + note for end, note in zip(ends, notes, strict=True)]
        elif any(notes):
            parts.append(aligned(notes, right=False))
    return "\n".join("  ".join(line).rstrip() for line in zip(*parts, ends, strict=True))


def aligned(texts: Sequence[str], *, right: bool) -> list[str]:
    width = max(map(len, texts))
    return [text.rjust(width) if right else text.ljust(width) for text in texts]
