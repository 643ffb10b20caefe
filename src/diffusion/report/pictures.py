"""The pictures that runs drew while training: which to compare, and how they get into the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from contextlib import suppress
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


class EncodedPictures(NamedTuple):
    """A picture as the address of an <img>, and its size in pixels."""

    source: str
    width: int
    height: int


def at_last_common_step(runs: Sequence[RunRecord], *, strip: bool) -> list[tuple[RunRecord, SampleGrid]]:
    """A picture of each run that has any: at the last step at which all these runs have one, or else its own last."""
    drawing = [(run, samples_by_step(run.folder / "samples", strip)) for run in runs]
    drawing = [(run, found) for run, found in drawing if found]
    common = set.intersection(*(set(found) for _, found in drawing)) if drawing else set()
    return [(run, found[max(common or found)]) for run, found in drawing]


def samples_by_step(folder: Path, strip: bool) -> dict[int, SampleGrid]:
    """The pictures in `folder` by step, of each step that of the slowest average; of the raw weights if need be."""
    found: dict[int, SampleGrid] = {}
    with suppress(OSError):
        for path in folder.iterdir():
            if (match := NAME.fullmatch(path.name)) and bool(match[2]) == strip:
                drawn = SampleGrid(int(match[1]), match[3], path)
                if drawn.step not in found or slowness(found[drawn.step].weights) < slowness(drawn.weights):
                    found[drawn.step] = drawn
    return found


def slowness(weights: str) -> float:
    with suppress(ValueError):
        return float(weights.removeprefix("ema_"))
    return -1.0


def encode_pictures(path: Path) -> EncodedPictures | None:
    """The picture as a data address, made smaller if it is large; None if it cannot be read."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            if len(data) > MOST_BYTES:
                picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
                picture.save(smaller := io.BytesIO(), "png")
                data = smaller.getvalue()
            size = picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return EncodedPictures(f"data:image/png;base64,{base64.b64encode(data).decode()}", *size)
