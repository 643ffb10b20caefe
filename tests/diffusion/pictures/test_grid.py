"""Grids of images."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.pictures.grid import grid, save_picture
from diffusion.pictures.pixels import from_uint8


def levels(count: int, channels: int, size: int) -> torch.Tensor:
    """Images of one level each: 0, 1, 2, ..."""
    shades = torch.arange(count, dtype=torch.uint8)[:, None, None, None]
    return from_uint8(shades.expand(count, channels, size, size))


def test_a_grid_reads_row_by_row_with_white_between_and_after():
    picture = grid(levels(5, 3, 200), columns=2)
    assert picture.shape == (3 * 200 + 2 * 2, 2 * 200 + 2, 3)
    centres = picture[100::202, 100::202, 0]
    assert centres.tolist() == [[0, 1], [2, 3], [4, 255]]
    assert (picture[:, 200:202] == 255).all() and (picture[200:202] == 255).all()


@pytest.mark.parametrize(("size", "columns"), [(8, 8), (16, 10), (16, 3), (32, 8), (64, 8)])
def test_small_images_are_enlarged_pixel_by_pixel(size, columns):
    x = from_uint8(torch.randint(256, (columns, 1, size, size), dtype=torch.uint8))
    picture = grid(x, columns=columns)
    factor = (picture.shape[1] + 2) // columns // size
    assert 400 <= picture.shape[1] < 400 + columns * size + 2 * columns
    corner = slice(0, factor * size, factor)
    assert torch.equal(from_uint8(torch.from_numpy(picture[corner, corner, 0])), x[0, 0])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_saved_grid_is_the_grid_and_grey_stays_grey(tmp_path, channels, mode):
    x = levels(4, channels, 8)
    save_picture(tmp_path / "new" / "grid.png", grid(x, columns=2))
    with Image.open(tmp_path / "new" / "grid.png") as image:
        assert image.mode == mode
        assert np.array_equal(np.array(image).reshape(*image.size[::-1], channels), grid(x, columns=2))
