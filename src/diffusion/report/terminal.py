"""The table of the runs as plain text."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from diffusion.report.differences import groups
from diffusion.report.runs import read_run
from diffusion.report.table import Column, columns, over_seeds


def text_table(folders: Sequence[Path]) -> str:
    """The table of the runs in `folders` for a terminal; an asterisk marks the best."""
    runs = [run for group in groups([read_run(folder) for folder in folders]) for run in group.runs]
    return "\n\n".join(plain_text(table) for table in (columns(runs), over_seeds(runs)) if table)


def plain_text(table: Sequence[Column]) -> str:
    """Aligned columns of text; what failed runs say, which may be long, ends their rows."""
    parts, ends = [], [""] * (len(table[0].cells) + 1)
    for column, head in zip(table, heads(table), strict=True):
        marks = ["*" if cell.leads else " " * any(other.leads for other in column.cells) for cell in column.cells]
        notes = ["", *(cell.note for cell in column.cells)]
        texts = [head, *(cell.text + mark for cell, mark in zip(column.cells, marks, strict=True))]
        parts.append(align(texts, right=column.numeric))
        if not column.numeric:
            ends = [end + note for end, note in zip(ends, notes, strict=True)]
        elif any(notes):
            parts.append(align(notes, right=False))
    return "\n".join("  ".join(line).rstrip() for line in zip(*parts, ends, strict=True))


def heads(table: Sequence[Column]) -> list[str]:
    """The columns' heads; columns of one head are distinguished by the words of their meanings that not all share."""
    names = [column.head for column in table]
    for head in {name for name in names if names.count(name) > 1}:
        alike = [i for i, column in enumerate(table) if column.head == head]
        words = [table[i].meaning.split() for i in alike]
        words = [own[shared_words(words) :] for own in words]
        shared = shared_words([own[::-1] for own in words])
        for i, own in zip(alike, words, strict=True):
            names[i] += f" ({' '.join(own[: len(own) - shared])})" if len(own) > shared else ""
    return names


def shared_words(texts: Sequence[list[str]]) -> int:
    """How many words all texts begin with."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*texts, strict=False)))


def align(texts: Sequence[str], *, right: bool) -> list[str]:
    width = max(map(len, texts))
    return [text.rjust(width) if right else text.ljust(width) for text in texts]
