"""Draws images for people to look at."""

import math
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from diffusion.pictures.pixels import to_uint8

GAP = 2
PAPER = 255
MIN_WIDTH = 400


def grid(x: Tensor, *, columns: int = 8, width: int = MIN_WIDTH) -> np.ndarray:
    """The images x (N, C, H, W) in [-1, 1] row by row as one picture: uint8 (height, width, C).

    Each pixel is enlarged by the least whole factor that makes the picture at least `width` wide.
    """
    tiles = to_uint8(x.detach()).cpu()
    columns = min(columns, len(tiles))
    factor = math.ceil(width / (columns * tiles.shape[-1]))
    tiles = repeat(tiles, "n c h w -> n c (h a) (w b)", a=factor, b=factor)
    tiles = pad(tiles, (0, GAP, 0, GAP), value=PAPER)
    blanks = tiles.new_full((-len(tiles) % columns, *tiles.shape[1:]), PAPER)
    picture = rearrange(torch.cat([tiles, blanks]), "(rows columns) c h w -> (rows h) (columns w) c", columns=columns)
    return picture[:-GAP, :-GAP].numpy()


def save_picture(path: str | Path, picture: np.ndarray) -> None:
    """Writes a picture, uint8 (height, width, C) with C being 1 (grey) or 3, to an image file, and makes its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(path)
