"""The pictures that runs drew while training: which to compare, and how they get into the page."""

import base64
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from diffusion.report.runs import RunRecord

NAME = re.compile(r"step_(\d+)_(strip_)?(raw|ema_[\w.-]+)\.png")
MOST_BYTES = 2_000_000
LONGEST_SIDE = 1600


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
    return {drawn.step: drawn for drawn in sorted(found, key=lambda drawn: slowness(drawn.weights))}


def slowness(weights: str) -> float:
    with suppress(ValueError):
        return float(weights.removeprefix("ema_"))
    return -1.0


def image_html(path: Path, alt: str) -> str:
    """The picture as an <img> that holds it, made smaller if it is large; "" if it cannot be read."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            if len(data) > MOST_BYTES:
                picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
                picture.save(smaller := io.BytesIO(), "png")
                data = smaller.getvalue()
            width, height = picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">'
