"""The table of the runs as plain text."""

from __future__ import annotations

from collections import Counter
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
    count = Counter(column.head for column in table)
    words = {head: [column.meaning.split() for column in table if column.head == head] for head in count}
    own = {head: iter(own_words(meanings)) for head, meanings in words.items()}
    found = [(column.head, next(own[column.head])) for column in table]
    return [f"{head} ({meaning})" if count[head] > 1 and meaning else head for head, meaning in found]


def own_words(texts: Sequence[list[str]]) -> list[str]:
    """The words of each text without those that all begin or end with."""
    rest = [words[shared_words(texts) :] for words in texts]
    shared = shared_words([words[::-1] for words in rest])
    return [" ".join(words[: len(words) - shared]) for words in rest]


def shared_words(texts: Sequence[list[str]]) -> int:
    """How many words all texts begin with."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*texts, strict=False)))


def align(texts: Sequence[str], *, right: bool) -> list[str]:
    width = max(map(len, texts))
    return [text.rjust(width) if right else text.ljust(width) for text in texts]
