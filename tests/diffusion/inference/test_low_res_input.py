"""The small images that a user asks to have enlarged."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion import Cosine, Epsilon, FixedLarge, GaussianDiffusion, Simple
from diffusion.data.conditions import Label, SmallImage
from diffusion.inference.low_res_input import low_res_prompts
from diffusion.inference.trained import Trained
from diffusion.pictures.pixels import from_uint8

CLASSES = ["7", "5", "3"]


def model(*, classes=None, low_res_size: int | None = 4) -> Trained:
    diffusion = GaussianDiffusion(
        steps=20, schedule=Cosine(), prediction=Epsilon(), variance=FixedLarge(), loss=Simple()
    )
    return Trained(
        network=torch.nn.Identity(), diffusion=diffusion, shape=(1, 8, 8), classes=classes, step=1, weights="raw",
        config={}, device=torch.device("cpu"),
        conditions={"y": Label(), **({} if low_res_size is None else {"low_res": SmallImage(size=low_res_size)})},
    )  # fmt: skip


def pixels(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


@pytest.fixture
def npz(tmp_path):
    def written(name: str = "images.npz", **arrays) -> str:
        np.savez_compressed(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return written


@pytest.fixture
def folder(tmp_path):
    def written(*images: np.ndarray) -> str:
        (tmp_path / "folder").mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image[..., 0]).save(tmp_path / "folder" / f"{number:03d}.png")
        return str(tmp_path / "folder")

    return written


def test_a_folder_and_an_npz_of_the_same_images_ask_the_same(npz, folder):
    images = pixels(3, 4)
    stored, lying = npz(arr_0=images), folder(*images)
    ours, theirs = (low_res_prompts(model(), labels=None, low_res=place) for place in (stored, lying))
    assert torch.equal(ours.arguments["low_res"], from_uint8(torch.from_numpy(images).permute(0, 3, 1, 2)))
    assert torch.equal(ours.arguments["low_res"], theirs.arguments["low_res"])
    assert ours.true is theirs.true is None and ours.arguments.keys() == theirs.arguments.keys() == {"low_res"}


def test_large_images_are_shrunk_and_kept_to_compare_with(npz):
    images = pixels(3, 8)
    asked = low_res_prompts(model(), labels=None, low_res=npz(arr_0=images))
    assert torch.equal(asked.true, from_uint8(torch.from_numpy(images).permute(0, 3, 1, 2)))
    assert torch.equal(asked.arguments["low_res"], SmallImage(size=4)(asked.true, torch.empty(0)))


def test_labels_are_those_asked_for_or_those_that_came_along_by_number(npz):
    place = npz(arr_0=pixels(3, 4), arr_1=np.array([2, 0, 1]))
    assert low_res_prompts(model(classes=CLASSES), labels=None, low_res=place).arguments["y"].tolist() == [2, 0, 1]
    assert low_res_prompts(model(classes=CLASSES), labels=["5"], low_res=place).arguments["y"].tolist() == [1]
    assert low_res_prompts(model(), labels=None, low_res=place).arguments.get("y") is None


def test_images_without_labels_are_told_every_class_in_turn_and_that_is_said(folder, capsys):
    place = folder(*pixels(4, 4))
    asked = low_res_prompts(model(classes=CLASSES), labels=None, low_res=place)
    assert asked.condition(range(4))["y"].tolist() == [0, 1, 2, 0]
    said = capsys.readouterr().out
    assert "has no labels" in said and "labels=[...]" in said
    low_res_prompts(model(classes=CLASSES), labels=["5"], low_res=place)
    assert capsys.readouterr().out == ""


def test_a_model_that_enlarges_nothing_is_asked_for_classes():
    plain = model(classes=CLASSES, low_res_size=None)
    assert low_res_prompts(plain, labels=None, low_res=None).arguments["y"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arr_0": pixels(2, 6), "arr_1": np.array([0, 1])}, "are 6x6; give 4x4 to enlarge, or 8x8 to shrink"),
        ({"arr_0": pixels(2, 4)[..., 0]}, r"arr_0, uint8 \(N, height, width, 1\), and holds arr_0, uint8 \(2, 4, 4\)$"),
        ({"arr_0": pixels(2, 4) / 255}, "holds arr_0, float64"),
        ({"images": pixels(2, 4)}, "holds images, uint8"),
        ({"arr_0": pixels(0, 4)}, "no images"),
        ({"arr_0": np.zeros((64, 64, 64, 1), np.uint8)}, "arr_0 in .* unpacks to over 200 times its file"),
        ({"arr_0": pixels(2, 4), "arr_1": np.array([None, None])}, "arr_1 in .* holds Python objects"),
        ({"arr_0": pixels(2, 4), "arr_1": np.array([0])}, "2 images and 1 labels"),
        ({"arr_0": pixels(2, 4), "arr_1": np.array(0)}, "2 images and 1 labels"),
        ({"arr_0": pixels(2, 4), "arr_1": np.array([0, 3])}, "no class 3"),
    ],
)
def test_an_npz_that_cannot_be_enlarged_says_why(npz, arrays, message):
    with pytest.raises(ValueError, match=message):
        low_res_prompts(model(classes=CLASSES), labels=None, low_res=npz(**arrays))


def test_places_that_hold_no_images_say_so(tmp_path):
    (tmp_path / "bad.npz").write_text("no archive")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "array.npy", pixels(2, 4))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    places = dict.fromkeys(("bad.npz", "empty.npz"), r"is no \.npz or \.npy file")
    places |= {"array.npz": "must hold arr_0", "none.npz": "no file", ".": "no images", "gone": "no folder"}
    for place, message in places.items():
        with pytest.raises(ValueError, match=message) as caught:
            low_res_prompts(model(), labels=None, low_res=str(tmp_path / place))
        assert "data.root" not in str(caught.value)


def test_a_folder_of_several_sizes_names_two_files(folder):
    place = folder(*pixels(1, 4), *pixels(1, 8))
    with pytest.raises(ValueError, match=r"000\.png is 4x4, 001\.png is 8x8"):
        low_res_prompts(model(), labels=None, low_res=place)


def test_a_file_that_is_no_image_is_named(folder, tmp_path):
    place = folder(*pixels(1, 4))
    (tmp_path / "folder" / "torn.png").write_text("no image")
    with pytest.raises(ValueError, match=r"cannot read .*torn\.png"):
        low_res_prompts(model(), labels=None, low_res=place)


def test_small_images_are_needed_exactly_by_what_enlarges():
    with pytest.raises(ValueError, match=r"enlarges images of 4x4; give it some: low_res=FOLDER"):
        low_res_prompts(model(), labels=None, low_res=None)
    with pytest.raises(ValueError, match="enlarges no images; leave low_res out"):
        low_res_prompts(model(low_res_size=None), labels=None, low_res="x.npz")
