"""Tables for a terminal."""

import textwrap
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import cycle

from diffusion.report.differences import NONE
from diffusion.report.table import Column

WIDTH, LEAST_WIDTH = 100, 60  # of a terminal where it does not say, and for a table to be one
LONGEST_NAME = 30
GAP = "  "


def plain_text(table: Sequence[Column], width: int = WIDTH) -> str:
    """Aligned columns of text, an asterisk at the best; what failed runs say stands below.

    Columns that find no room in lines of `width` begin another block of lines, which names the rows again.
    """
    width, (first, *others) = max(width, LEAST_WIDTH), table
    repeated = Counter(column.head for column in others)
    columns = [text_of(column, ambiguous=repeated[column.head] > 1) for column in others]
    beside = sum(widest(texts) + len(GAP) for texts in columns if widest(texts) <= width // 2)
    labels = shortened([cell.text for cell in first.cells], max(LONGEST_NAME, width - beside), width // 2)
    names = align([first.head, *labels])
    room = width - display_width(names[0]) - len(GAP)
    blocks = in_blocks([texts for texts in columns if widest(texts) <= room], room)
    parts = [[GAP.join(line).rstrip() for line in zip(names, *block, strict=True)] for block in blocks]
    parts += [in_lines(names, texts, room) for texts in columns if widest(texts) > room]
    return "\n\n".join("\n".join(part) for part in [*parts, said(labels, others, width)] if part)


def in_blocks(columns: Sequence[list[str]], room: int) -> list[list[list[str]]]:
    """The columns side by side as far as there is room: each in the first block that has some left."""
    blocks: list[list[list[str]]] = []
    for texts in columns:
        needed = widest(texts) + len(GAP)
        fitting = (block for block in blocks if sum(widest(t) + len(GAP) for t in block) + needed <= room + len(GAP))
        block = next(fitting, None)
        if block is None:
            blocks.append(block := [])
        block.append(texts)
    return blocks


def in_lines(names: Sequence[str], texts: Sequence[str], room: int) -> list[str]:
    """A column that is wider than the room, broken into lines; who has nothing there is left out."""
    lines = []
    for name, text, above in zip(names, texts, ["", *texts], strict=False):
        text = "as above" if text == above else text
        broken = "\n".join(textwrap.wrap(text, room)) if text.strip() != NONE else ""
        lines += [f"{name}{GAP}{broken}".replace("\n", f"\n{' ' * display_width(name)}{GAP}")] if broken else []
    return lines


def text_of(column: Column, *, ambiguous: bool) -> list[str]:
    """The lines of a column, its head first, all of one width."""
    head = f"{column.head} ({column.meaning})" if ambiguous else column.head
    marks = ["*" if cell.leads else " " * any(other.leads for other in column.cells) for cell in column.cells]
    texts = align([head, *(cell.text + mark for cell, mark in zip(column.cells, marks, strict=True))], column.numeric)
    if not column.numeric or not any(cell.note for cell in column.cells):
        return texts
    notes = align(["", *(cell.note for cell in column.cells)])
    return [text + GAP + note for text, note in zip(texts, notes, strict=True)]


def said(names: Sequence[str], columns: Sequence[Column], width: int) -> list[str]:
    """What the notes of columns of words say, such as why a run failed, in lines of that width."""
    words = [cell.note for column in columns if not column.numeric for cell in column.cells]
    texts = [f"{name}: {note}" for name, note in zip(cycle(names), words, strict=False) if note]
    return [line for text in texts for line in textwrap.wrap(text, width, subsequent_indent=GAP)]


def shortened(names: Sequence[str], room: int, most: int) -> list[str]:
    """Each name, or of a longer one than `room` its ends around an ellipsis; they take up to `most` to stay apart."""
    for beginning in (room // 2, 3 * room // 4, room // 4):
        cut = [name if display_width(name) <= room else cut_out(name, beginning, room) for name in names]
        if len({*cut}) == len({*names}):
            return cut
    return shortened(names, room + 1, most) if room < most else cut


def cut_out(name: str, beginning: int, room: int) -> str:
    """So much of the beginning and of the end of a name that both take `room` with an ellipsis between them."""
    letters = len(name) / display_width(name)
    return f"{name[: int(beginning * letters)]}…{name[len(name) - int((room - 1 - beginning) * letters) :]}"


def align(texts: Sequence[str], right: bool = False) -> list[str]:
    width = widest(texts)
    room = [" " * (width - display_width(text)) for text in texts]
    return [blank + text if right else text + blank for blank, text in zip(room, texts, strict=True)]


def widest(texts: Sequence[str]) -> int:
    return max(map(display_width, texts))


def display_width(text: str) -> int:
    """The columns of a terminal that `text` takes: letters of East Asia take two, accents of their own none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))
