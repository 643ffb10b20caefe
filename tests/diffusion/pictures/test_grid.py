"""Grids of images."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.pictures.grid import GAP, WIDEST_LABEL, grid, save_picture
from diffusion.pictures.lettering import LINE, text_width
from diffusion.pictures.pixels import from_uint8


def levels(count: int, channels: int, size: int) -> torch.Tensor:
    """Images of one level each: 0, 1, 2, ..."""
    shades = torch.arange(count, dtype=torch.uint8)[:, None, None, None]
    return from_uint8(shades.expand(count, channels, size, size))


def test_a_grid_reads_row_by_row_with_white_between_and_after():
    picture = grid(levels(5, 3, 400), columns=2)
    assert picture.shape == (3 * 400 + 2 * 2, 2 * 400 + 2, 3)
    centres = picture[200::402, 200::402, 0]
    assert centres.tolist() == [[0, 1], [2, 3], [4, 255]]
    assert (picture[:, 400:402] == 255).all() and (picture[400:402] == 255).all()


@pytest.mark.parametrize(("size", "columns"), [(8, 8), (16, 10), (16, 3), (32, 8), (64, 8)])
@pytest.mark.parametrize("words", [{}, {"labels": True}, {"labels": True, "rows": True}])
def test_small_images_are_enlarged_pixel_by_pixel_whatever_is_said_of_them(size, columns, words):
    x = from_uint8(torch.randint(256, (2 * columns, 1, size, size), dtype=torch.uint8))
    labels = [f"cat {number}" for number in range(2 * columns)] if "labels" in words else []
    picture = grid(x, columns=columns, labels=labels, rows=["drawn\nthe closest", "true"] if "rows" in words else [])
    factor = -(-800 // (columns * size))
    left = picture.shape[1] - columns * (factor * size + GAP) + GAP
    tops = [LINE * len(labels[:1]) * (row + 1) + row * (factor * size + GAP) for row in (0, 1)]
    for number in range(2 * columns):
        row, column = divmod(number, columns)
        y_0, x_0 = tops[row], left + column * (factor * size + GAP)
        tile = picture[y_0 : y_0 + factor * size, x_0 : x_0 + factor * size, 0]
        assert (tile == tile[::factor, ::factor].repeat(factor, 0).repeat(factor, 1)).all()
        assert torch.equal(from_uint8(torch.from_numpy(tile[::factor, ::factor].copy())), x[number, 0])
    assert ("rows" in words) == (left > 0)


def test_a_label_stands_once_above_a_column_of_the_same_or_else_at_each_image():
    x = levels(4, 1, 400)
    alike, apart = (grid(x, columns=2, labels=labels) for labels in (["a", "b", "a", "b"], ["a", "b", "a", "c"]))
    plain = grid(x, columns=2)
    assert alike.shape[0] - plain.shape[0] == LINE and apart.shape[0] - plain.shape[0] == 2 * LINE
    assert (alike[LINE:] == plain).all() and alike[:LINE].min() < 100
    assert (grid(x, columns=2, labels=[""] * 4) == plain).all()


def test_images_are_enlarged_for_the_sake_of_labels_but_only_so_far():
    x = levels(40, 1, 8)
    assert grid(x, columns=40, labels=["automobile"] * 40).shape[1] > 40 * text_width("automobile")
    assert grid(x, columns=40, labels=["automobile" * 20] * 40).shape[1] == 40 * (WIDEST_LABEL + GAP) - GAP


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_saved_grid_is_the_grid_and_grey_stays_grey(tmp_path, channels, mode):
    x = levels(4, channels, 8)
    save_picture(tmp_path / "new" / "grid.png", grid(x, columns=2))
    with Image.open(tmp_path / "new" / "grid.png") as image:
        assert image.mode == mode
        assert np.array_equal(np.array(image).reshape(*image.size[::-1], channels), grid(x, columns=2))
