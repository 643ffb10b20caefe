"""Images of the user's own, as the tasks read and show them."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion import DDIM, Draw, ImageToImage, Inpaint, Interpolate, Vary
from diffusion.pictures.grid import GAP, MIN_WIDTH
from diffusion.pictures.lettering import LINE

SHAPE = (1, 4, 4)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)


@pytest.fixture
def place(tmp_path):
    """A folder of three images, which are in an npz beside it too, with labels."""
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels[..., 0]).save(tmp_path / "images" / f"{number}.png")
    np.savez(tmp_path / "images.npz", PIXELS, np.array([2, 0, 1]))
    return tmp_path


def test_a_folder_files_an_npz_and_a_tensor_are_the_same_images(place):
    folder = place / "images"
    tensor = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    ways = [str(folder), [str(folder / f"{n}.png") for n in range(3)], str(place / "images.npz"), tensor]
    read = [ImageToImage(images=way).given(SHAPE) for way in [*ways, tensor / 127.5 - 1]]
    assert all(torch.allclose(each.x, read[0].x) and each.x.dtype == torch.float32 for each in read)
    assert [each.labels for each in read] == [None, None, [2, 0, 1], None, None]
    one = ImageToImage(images=str(folder / "1.png")).given(SHAPE)
    assert torch.equal(one.x, read[0].x[1:2])


def test_a_mask_is_white_where_an_image_is_known(place):
    Image.fromarray(np.array([[255, 128, 127, 0]] * 4, np.uint8)).convert("RGB").save(place / "mask.png")
    known = Inpaint(images=str(place / "images"), mask=str(place / "mask.png")).masks(SHAPE)
    assert known.shape == (1, 1, 4, 4) and known[0, 0, 2].tolist() == [True, True, False, False]
    for mask in (known[0, 0], known[0, 0].float(), known):
        assert torch.equal(Inpaint(images=str(place / "images"), mask=mask).masks(SHAPE), known)


def test_images_of_another_shape_are_refused_in_one_line(place):
    Image.new("L", (5, 4)).save(place / "wide.png")
    wrong = [
        (str(place / "wide.png"), r"task.images=.*wide.png are 1x4x5, and the model draws 1x4x4 \(channels"),
        (torch.zeros(2, 3, 4, 4), r"a tensor \(2, 3, 4, 4\) are 3x4x4, and the model draws 1x4x4"),
        (str(place / "none"), r"there is no folder .*none; set task.images"),
        (str(place / "none.npz"), r"there is no file"),
        ([], r"task.images=\[\] names no image"),
        ([str(place / "images" / "0.png"), str(place / "wide.png")], r"mixes sizes: .* is 4x4, .* is 4x5; give one"),
        ([str(place / "images.npz")], r"cannot read .*images.npz"),
    ]
    for images, message in wrong:
        with pytest.raises(ValueError, match=message):
            Vary(images=images).check(DDIM(eta=1.0), None, SHAPE)
    with pytest.raises(ValueError, match=r"must hold arr_0, uint8 \(N, height, width, 3\)"):
        Vary(images=str(place / "images.npz")).given((3, 4, 4))
    with pytest.raises(ValueError, match=r"versions=0 must be at least 1; set task.versions=1"):
        ImageToImage(images=str(place / "images"), versions=0)


def test_there_are_as_many_images_as_given_times_versions_but_no_more_than_asked_for(place):
    images = str(place / "images")
    assert ImageToImage(images=images).total(64, SHAPE) == 3 and ImageToImage(images=images).total(2, SHAPE) == 2
    assert ImageToImage(images=images, versions=4).total(64, SHAPE) == 12 and Draw().total(64, SHAPE) == 64


def test_a_picture_shows_what_was_given_beside_what_came_of_it():
    given = torch.tensor([-1.0, -0.5]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    drawn = torch.tensor([0.0, 0.2, 0.4, 0.6, 1.0]).view(5, 1, 1, 1).expand(5, 1, 4, 4)
    picture = ImageToImage(images=given, versions=3).picture(drawn, ["3"] * 5)
    # The last of them is missing.
    assert levels(picture, columns=4, band=LINE) == [[0, 128, 179, 255], [64, 153, 204, 255]]
    picture = Inpaint(images=given, mask=torch.zeros(4, 4), versions=2).picture(drawn[:4], [""] * 4)
    assert levels(picture, columns=4) == [[0, 128, 128, 179], [64, 128, 153, 204]]
    assert levels(ImageToImage(images=given).picture(drawn[:2], [""] * 2), columns=4) == [[0, 128, 64, 153]]
    picture = Interpolate(images=given, count=4).picture(drawn[:4], [""] * 4)
    assert levels(picture, columns=6) == [[0, 128, 153, 179, 204, 64]]


def levels(picture, columns, band=0):
    """The level in the middle of each tile of a picture, row by row: below heads, or below a band of labels each."""
    width = (picture.shape[1] + GAP) // columns
    assert width * columns >= MIN_WIDTH
    return picture[LINE + width // 2 :: width + band, width // 2 :: width, 0].tolist()


def test_a_name_tells_one_setting_from_another():
    names = [
        Draw().name,
        ImageToImage(images="a").name,
        ImageToImage(images="b").name,
        ImageToImage(images="a/b").name,
        ImageToImage(images="a-b").name,
        ImageToImage(images=["a", "b"]).name,
        ImageToImage(images="a", strength=0.25).name,
        ImageToImage(images="a", log_snr=0.0).name,
        ImageToImage(images="a", versions=2).name,
        Vary(images="a").name,
        Inpaint(images="a", mask="m").name,
        Inpaint(images="a", mask="n").name,
        Inpaint(images="a", mask="m", jump_length=5).name,
        Interpolate().name,
        Interpolate(images=["a", "b"], count=4).name,
    ]
    assert len(set(names)) == len(names) and names[0] == "" and names[1] == "image_to_image_images-a"
    assert names[6] == "image_to_image_images-a_strength-0.25" and names[13] == "interpolate"
