"""The report as one HTML file that needs no other: tables, plots, pictures and commands."""

import base64
import io
import os
import re
import shlex
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from PIL import Image

from diffusion.report.differences import NONE, Group, differing, groups, short_names, usual
from diffusion.report.plain_text import WIDTH, plain_text
from diffusion.report.plots import Plot, sections
from diffusion.report.runs import RunRecord, read_run
from diffusion.report.table import Cell, Column, columns, over_seeds
from diffusion.runs.files import atomic_write
from diffusion.runs.naming import shell_override
from diffusion.runs.printable import single_line
from diffusion.runs.small_files import read_bytes

MOST_PICTURE_BYTES, MOST_PICTURE_PIXELS = 2**26, 2**26
NAME = re.compile(r"step_(\d+)_(strip_)?(raw|ema_[\w.-]+)\.png")


def write_page(folders: Sequence[Path], out: Path, title: str | None = None) -> str:
    """Write the report on the runs in `folders`, at least one, to `out`; its tables as text. OSError if that fails.

    Without a `title`, it has the name of the folder that holds them all.
    """
    several = groups([read_run(folder) for folder in folders])
    runs = [run for group in several for run in group.runs]
    states = Counter(run.state for run in runs)
    lede = f"{len(runs)} run{'s' * (len(runs) > 1)}: {', '.join(f'{n} {state}' for state, n in states.items())}."
    # The folder that holds them all, or the run's own name.
    title = title or Path(os.path.commonpath([os.path.realpath(run.folder) for run in runs])).name or "Runs"
    common = " · ".join(f"{key} {value}" for key, value in usual(runs, differing(runs)).items() if value != NONE)
    most = f"Most runs have {common}." if common else ""
    template = Template(files("diffusion.report").joinpath("page.html").read_text(encoding="utf-8"))
    tables = columns(runs), over_seeds(several)
    content = "\n".join(filter(None, body(several, runs, *tables)))
    html = template.substitute(title=escape(title), lede=escape(lede), most=escape(most), body=content)
    with atomic_write(out) as path:
        # File names may hold bytes that are no text.
        path.write_text(html, encoding="utf-8", errors="xmlcharrefreplace")
    width = shutil.get_terminal_size((WIDTH, 24)).columns
    texts = [plain_text(table, width) for table in tables if table]
    return "\n\n".join([*texts, *filter(None, [textwrap.fill(most, width)])])


def body(
    several: Sequence[Group], runs: Sequence[RunRecord], table: Sequence[Column], seeds: Sequence[Column]
) -> Iterator[str]:
    quality, losses, *others = (plots(heading, drawn) for heading, drawn in sections(several))
    yield rows(table, "Runs", [i for i, group in enumerate(several) for _ in group.runs])
    repeated = [i for i, group in enumerate(several) if len(group.runs) > 1]
    yield rows(seeds, "Over seeds: mean ± standard deviation", repeated)
    items = "".join(f'<li data-group="{i}">{dot(i)}{escape(group.label)}</li>' for i, group in enumerate(several))
    items += '<li class="soft">x-axis: images seen</li>'
    yield f'<ul class="legend" aria-label="Colours of the plots">{items}</ul>'
    yield from (quality, losses)
    yield pictures(several, "Samples")
    yield pictures(several, "From noise to image", "; x_t, and below it the x_0 seen in it", strip=True)
    yield from others
    yield "<h2>Commands</h2>"
    for run, name in zip(runs, short_names(runs), strict=True):
        text = f"<pre><code>{escape(commands(run))}</code></pre>"
        yield f"<details><summary><code>{escape(name)}</code></summary>{text}</details>"


def rows(table: Sequence[Column], heading: str, marks: Sequence[int]) -> str:
    """A table whose rows begin with the colour of their group; "" without columns."""
    if not table:
        return ""
    heads = "".join(head(column) for column in table)
    lines = zip(marks, zip(*(column.cells for column in table), strict=True), strict=True)
    body = "\n".join(
        f'<tr><th scope="row" data-value="{escape(first.text)}">{dot(mark)}{parted(first.text)}'
        f"</th>{''.join(map(data, rest, table[1:]))}</tr>"
        for mark, (first, *rest) in lines
    )
    whole_table = f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<h2>{heading}</h2><div class="wide">{whole_table}</div>'


def parted(name: str) -> str:
    """A name that is broken between its parts, as in a+b, where it is too long for a line."""
    parts = escape(name).split("+")
    return "".join(f"<span>{part}{'+' * (i < len(parts))}</span>" for i, part in enumerate(parts, 1))


def head(column: Column) -> str:
    """A heading that sorts; what a number was measured on is written under it."""
    under = f"<small>{escape(column.meaning)}</small>" if column.graded else ""
    return (
        f'<th scope="col"{" class=n" * column.numeric} title="{escape(column.meaning)}">'
        f"<button>{escape(column.head).replace('_', '_<wbr>')}</button>{under}</th>"
    )


def data(cell: Cell, column: Column) -> str:
    value = cell.text if cell.value is None else cell.value
    there = f' data-value="{escape(str(value))}"' if value == value and cell.text != NONE else ""
    text = f"<b>{escape(cell.text)}</b>" if cell.leads else escape(cell.text)
    if not column.numeric:
        text = f'<span class="{escape(cell.text.split()[0]) if column.head == "state" else "words"}">{text}</span>'
    note = f"<small{' class=note' * (not column.numeric)}>{escape(cell.note)}</small>" if cell.note else ""
    return f"<td{' class=n' * column.numeric}{there}>{text}{note}</td>"


def dot(group: int) -> str:
    return f'<i class="c{group % 8}{("", " dashed", " dotted")[group // 8 % 3]}"></i>'


def plots(heading: str, drawn: Sequence[Plot]) -> str:
    figures = [figure_html(plot.title, plot.meaning, svg) for plot in drawn if (svg := plot.svg())]
    return gallery(heading, "plots four" if len(drawn) == 4 else "plots", figures)


def pictures(several: Sequence[Group], heading: str, meaning: str = "", *, strip: bool = False) -> str:
    """What the runs drew while training, or how the images came out of the noise."""
    looks = {run.folder: (group.label_of(run), dot(i)) for i, group in enumerate(several) for run in group.runs}
    figures = []
    for run, drawn in at_last_common_step([run for group in several for run in group.runs], strip=strip):
        label, mark = looks[run.folder]
        caption = f"step {drawn.step:,}, {drawn.weights.replace('_', ' ')}{meaning}"
        if image := image_html(drawn.path, f"{heading} of {label}, {caption}"):
            figures.append(figure_html(label, caption, image, mark))
    return gallery(heading, "pictures", figures)


def figure_html(name: str, meaning: str, content: str, mark: str = "") -> str:
    aside = f" <span>{escape(meaning)}</span>" if meaning else ""
    return f"<figure><figcaption>{mark}{escape(name)}{aside}</figcaption>{content}</figure>"


def gallery(heading: str, look: str, figures: Sequence[str]) -> str:
    """Figures side by side under a heading; "" without any."""
    return f'<h2>{escape(heading)}</h2><div class="{look}">{chr(10).join(figures)}</div>' if figures else ""


def commands(run: RunRecord) -> str:
    """The run's own command, as it was last started, and those that draw from it and measure it."""
    start, lines = run.start, [f"# its settings: {run.folder / 'config.yaml'}"]
    left_out = start.get("left_out")
    if isinstance(start.get("command"), str):
        lines = [f"git checkout {shlex.quote(str(start['commit']))}"] if start.get("commit") else []
        lines += [f"git apply {shlex.quote(str(run.folder / str(start['diff'])))}"] if start.get("diff") else []
        if isinstance(left_out, list) and left_out:
            lines += [f"# new files that were not kept: {single_line(', '.join(map(str, left_out)))}"]
        lines.append(start["command"])
    place = shell_override("checkpoint", run.folder)
    return "\n".join([*lines, f"python sample.py {place}", f"python evaluate.py {place}"])


class SampleGrid(NamedTuple):
    """A picture of a run at `step`, drawn with `weights` such as "ema_0.995"."""

    step: int
    weights: str
    path: Path


def at_last_common_step(runs: Sequence[RunRecord], *, strip: bool) -> list[tuple[RunRecord, SampleGrid]]:
    """A picture of each run that has any: at the last step at which all these runs have one, or else its own last."""
    drawing = [(run, samples_by_step(run.folder / "samples", strip)) for run in runs]
    drawing = [(run, found) for run, found in drawing if found]
    common = set.intersection(*(set(found) for _, found in drawing)) if drawing else set()
    return [(run, found[max(common or found)]) for run, found in drawing]


def samples_by_step(folder: Path, strip: bool) -> dict[int, SampleGrid]:
    """The pictures in `folder` by step, of each step that of the slowest average; of the raw weights if need be."""
    found = []
    with suppress(OSError):
        names = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()]
        found = [SampleGrid(int(m[1]), m[3], path) for m, path in names if m and bool(m[2]) == strip]
    # As texts, too, rates rise from 0.9 to 0.9999; the last stays.
    return {drawn.step: drawn for drawn in sorted(found, key=lambda drawn: (drawn.weights != "raw", drawn.weights))}


def image_html(path: Path, alt: str) -> str:
    """The picture as an <img> that holds it; "" if it cannot be read."""
    try:
        content = read_bytes(path, MOST_PICTURE_BYTES)
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            width, height = picture.size
            if width * height > MOST_PICTURE_PIXELS:
                return ""
            picture.load()
    except Exception:  # Pillow raises OSError, ValueError, SyntaxError, struct.error, zlib.error, ...
        return ""
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">'
