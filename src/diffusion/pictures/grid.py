"""Draws images for people to look at, and says in words what they are."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from einops import repeat
from PIL import Image
from torch import Tensor

from diffusion.pictures.lettering import LINE, PAPER, Words, cut_text, text_width, write_on
from diffusion.pictures.pixels import to_uint8

GAP = 2
MIN_WIDTH = 800
WIDEST_LABEL, WIDEST_ROW = 120, 200  # pixels: images are enlarged to the former for the sake of their labels


def grid(
    x: Tensor, *, columns: int = 8, labels: Sequence[str] = (), rows: Sequence[str] = (), width: int = MIN_WIDTH
) -> np.ndarray:
    """The images x (N, C, H, W) in [-1, 1] row by row as one picture: uint8 (height, width, C).

    Each pixel is enlarged by the least whole factor that makes the images together at least `width` wide, and each as
    wide as its label. `labels` (N,) stand above the images, or once above a column in which all are the same; `rows`,
    of one or more lines each, stand to the left.
    """
    tiles = to_uint8(x.detach()).cpu()
    columns = min(columns, len(tiles))
    heads = column_heads(labels, columns)
    labels = () if heads else labels
    widest = max((text_width(label[:WIDEST_LABEL]) for label in [*heads, *labels]), default=0)
    factor = math.ceil(max(width / columns, min(widest, WIDEST_LABEL)) / tiles.shape[-1])
    tiles = repeat(tiles, "n c h w -> n (h a) (w b) c", a=factor, b=factor)
    high, wide, channels = tiles.shape[1:]
    rows = ["\n".join(cut_text(line, WIDEST_ROW) for line in text.split("\n")) for text in rows]
    left = max(map(text_width, rows)) + LINE // 2 if rows else 0
    top = LINE if heads else 0
    band = LINE if any(labels) else 0  # above each image
    right, down = wide + GAP, band + high + GAP  # from one image to the next
    count = math.ceil(len(tiles) / columns)
    words = [Words(cut_text(head, wide), left + n * right, 0) for n, head in enumerate(heads)]
    words += [Words(text, 0, top + n * down + band) for n, text in enumerate(rows)]
    corners = [(left + n % columns * right, top + n // columns * down) for n in range(len(tiles))]
    words += [Words(cut_text(label, wide), *corner) for label, corner in zip(labels, corners, strict=False)]
    blank = np.full((top + count * down - GAP, left + columns * right - GAP, channels), PAPER, np.uint8)
    picture = write_on(blank, words)
    for (x_0, y_0), tile in zip(corners, tiles.numpy(), strict=True):
        picture[y_0 + band : y_0 + band + high, x_0 : x_0 + wide] = tile
    return picture


def column_heads(labels: Sequence[str], columns: int) -> list[str]:
    """The label of each column; [] where some column has several or none has any."""
    of_column = [set(labels[column::columns]) for column in range(columns)]
    alike = any(labels) and all(len(found) == 1 for found in of_column)
    return [label for found in of_column for label in found] if alike else []


def save_picture(path: str | Path, picture: np.ndarray) -> None:
    """Writes a picture, uint8 (height, width, C) with C being 1 (grey) or 3, to an image file, and makes its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(path)
