"""Images are prepared as the original does it, save where it mistakes a palette, transparency or 16 bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import load_golden
from golden_cases import cases
from PIL import Image

from diffusion.data.preparation import fitted, read_image
from diffusion.pictures.pixels import from_uint8

GOLDEN = Path(load_golden.HERE)
OWN_MODE = ("image_rgba_70x66", "image_palette_90x41")


def save_and_read(image: Image.Image, path: Path, *, channels: int = 1, **options) -> torch.Tensor:
    image.save(path, **options)
    return read_image(str(path), channels=channels, height=image.height, width=image.width)


@pytest.mark.parametrize(("case", "inputs", "outputs"), cases(13, "image_load"))
def test_preparation_agrees_with_the_original_but_for_converting_first(case, inputs, outputs):
    path, size = GOLDEN / case["args"]["file"], case["args"]["resolution"]
    ours = from_uint8(read_image(str(path), channels=3, height=size, width=size)).numpy()
    if case["id"] not in OWN_MODE:
        assert np.array_equal(ours, outputs["image"])
        return
    # The original scales these in their own mode. From the same picture stored as plain RGB both would make the same.
    plain = fitted(Image.open(path).convert("RGB"), channels=3, height=size, width=size)
    assert np.array_equal(ours, from_uint8(plain).numpy())
    assert 7 < 127.5 * np.abs(ours - outputs["image"]).mean() < 17  # levels, on average


def test_16_bit_grey_keeps_its_shades(tmp_path):
    levels = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    pixels = save_and_read(Image.fromarray(levels), tmp_path / "deep.png")
    assert pixels.flatten().tolist() == list(range(256))


def test_pixels_without_a_white_level_are_refused():
    for levels in (np.full((8, 8), 0.5, np.float32), np.full((8, 8), 70_000, np.int32)):
        with pytest.raises(ValueError, match="save it with 8 or 16 bits"):
            fitted(Image.fromarray(levels), channels=1, height=8, width=8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_is_white_and_black_is_black_in_every_mode(mode, channels):
    picture = Image.new("RGB", (8, 8), "white")
    picture.paste("black", (4, 0, 8, 8))
    pixels = fitted(picture.convert(mode), channels=channels, height=8, width=8)
    assert pixels.shape == (channels, 8, 8)
    assert (pixels[..., :4] == 255).all() and (pixels[..., 4:] == 0).all()


def test_a_transparent_palette_loses_its_transparency_without_a_warning(tmp_path, recwarn):
    shades = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    pixels = save_and_read(shades.convert("P"), tmp_path / "palette.png", transparency=bytes(range(64)))
    assert pixels.flatten().tolist() == list(range(64)) and not recwarn.list


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("L", (8, 8), level) for level in (50, 200)]
    pixels = save_and_read(frames[0], tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert (pixels == 50).all()


def test_exif_rotation_is_left_alone(tmp_path):
    picture = Image.new("L", (8, 8), 0)
    picture.paste(255, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me by 90 degrees"
    assert torch.equal(
        save_and_read(picture, tmp_path / "turned.png", exif=exif), save_and_read(picture, tmp_path / "plain.png")
    )


@pytest.mark.parametrize(("height", "width"), [(8, 16), (16, 8), (12, 10)])
def test_any_shape_shows_the_middle_undistorted(height, width):
    # In a picture whose level is its column, a crop is a run of columns about the middle, in steps of the scale.
    ramp = Image.fromarray(np.broadcast_to(np.arange(64, dtype=np.uint8), (48, 64)).copy())
    pixels = fitted(ramp, channels=1, height=height, width=width)[0].double()
    scale = max(height / 48, width / 64)
    expected = 31.5 + (torch.arange(width) - (width - 1) / 2) / scale
    assert torch.equal(pixels, pixels[:1].expand(height, width))
    inner = slice(1, -1)  # the rim is bent where the kernel reaches over the picture's border
    # One level is half a source column of crop offset, and the rounding of BOX and BICUBIC.
    assert (pixels[0, inner] - expected[inner]).abs().max() <= 0.5 / scale + 1
