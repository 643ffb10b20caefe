"""Images in .npz and .npy files: found by their shapes, read without pickle, refused in one line."""

import re

import numpy as np
import pytest
import torch

from diffusion.compute import memory
from diffusion.config.data_choice import absolute_paths, identity, title_of, with_split
from diffusion.data.array_images import ArrayImages

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
LABELS = np.array([0, 2, 1, 0, 1, 2])


def stored(tmp_path, **named) -> str:
    np.savez_compressed(tmp_path / "images.npz", **named)
    return str(tmp_path / "images.npz")


def everything(images):
    return images.read(range(len(images)))


@pytest.mark.parametrize(
    "array",
    [COLOUR, COLOUR.transpose(0, 3, 1, 2), COLOUR[..., :1], COLOUR[..., 0], np.asfortranarray(COLOUR)],
    ids=["channels last", "channels first", "grey", "no axis of channels", "another order of the memory"],
)
@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_images_are_the_same_in_every_layout(tmp_path, array, suffix):
    if suffix == "npy":
        np.save(tmp_path / "images.npy", array)
        images = ArrayImages(path=str(tmp_path / "images.npy"))
    else:
        images = ArrayImages(path=stored(tmp_path, pixels=array))
    wanted = torch.tensor(COLOUR).permute(0, 3, 1, 2)[:, : images.shape[0]]
    assert images.shape == (3 if array.shape[-1] == 3 or array.shape[1] == 3 else 1, 8, 10)
    assert torch.equal(everything(images).pixels, wanted) and torch.equal(images[4][0], wanted[4])
    assert torch.equal(images.read([5, 0, 5]).pixels, wanted[[5, 0, 5]]) and images.classes is None
    assert everything(images).labels.tolist() == [-1] * 6


@pytest.mark.parametrize(
    "labels, numbers, classes",
    [
        (LABELS, [0, 2, 1, 0, 1, 2], ("0", "1", "2")),
        (LABELS[:, None].astype(np.uint8), [0, 2, 1, 0, 1, 2], ("0", "1", "2")),
        (np.array(["dog", "cat", "cat", "dog", "eel", "eel"]), [1, 0, 0, 1, 2, 2], ("cat", "dog", "eel")),
        (np.full(6, -1), [-1] * 6, None),
    ],
)
def test_labels_are_numbers_or_names(tmp_path, labels, numbers, classes):
    images = ArrayImages(path=stored(tmp_path, arr_0=COLOUR, arr_1=labels, other=np.zeros((6, 512))))
    assert everything(images).labels.tolist() == numbers and images.classes == classes
    unlabelled = ArrayImages(path=images.path, labels="none")
    assert unlabelled.classes is None and everything(unlabelled).labels.tolist() == [-1] * 6


def test_names_of_classes_cannot_steer_a_terminal(tmp_path):
    images = ArrayImages(path=stored(tmp_path, pixels=COLOUR, names=np.array(["\x1b[2J", "\n", "cat"] * 2)))
    assert sorted(images.classes) == sorted(["\\x1b[2J", "\\n", "cat"]) and images.classes[images[2][1]] == "cat"


def test_the_word_of_a_split_chooses_its_arrays(tmp_path):
    path = stored(tmp_path, x_train=COLOUR, y_train=LABELS, x_test=COLOUR[:2], y_test=LABELS[:2], x_val=COLOUR[:3])
    data = {"_target_": "diffusion.ArrayImages", "path": path, "split": "train"}
    assert len(ArrayImages(path=path, split="test")) == 2 and ArrayImages(path=path, split="val").classes is None
    assert with_split(data, "test")["split"] == "test" and title_of(data) == "images.npz train"
    named = ArrayImages(path=path, images="x_val", labels="none")
    assert len(named) == 3
    with pytest.raises(ValueError, match=r"several arrays that could be the images: x_train, x_test, x_val; name one"):
        ArrayImages(path=path)


def test_a_path_is_kept_absolute_and_is_the_same_set_from_elsewhere(tmp_path, monkeypatch):
    path = stored(tmp_path, pixels=COLOUR)
    data = {"_target_": "diffusion.ArrayImages", "path": "images.npz"}
    monkeypatch.chdir(tmp_path)
    assert absolute_paths(data) == {"path": path} and ArrayImages(path="images.npz").settings["path"] == path
    assert identity(data) == identity({**data, "path": path})


def test_images_are_scaled_to_a_size(tmp_path):
    for array, channels in ((COLOUR, 3), (COLOUR[..., 0], 1)):
        images = ArrayImages(path=stored(tmp_path, pixels=array), image_size=4)
        assert images.shape == (channels, 4, 4)
        square = torch.tensor(array).reshape(6, 8, 10, -1)[:, :, :8].permute(0, 3, 1, 2).float()
        halves = torch.nn.functional.avg_pool2d(square, 2)
        assert (everything(images).pixels - halves).abs().max() <= 1  # BOX rounds along each side


@pytest.mark.parametrize("size", [-3, 0, 1_000_000])
def test_a_size_that_images_cannot_have_is_refused_by_its_setting(tmp_path, size):
    with pytest.raises(ValueError, match=rf"^data\.image_size={size} must lie between 1 and "):
        ArrayImages(path=stored(tmp_path, pixels=COLOUR), image_size=size)


def test_scaled_images_must_fit_into_memory(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", COLOUR)
    monkeypatch.setattr(memory.os, "sysconf", lambda _: 10)  # 100 bytes
    with pytest.raises(ValueError, match=r"^6 images of 3x4x4 would take .*; set a smaller data\.image_size$"):
        ArrayImages(path=str(tmp_path / "images.npy"), image_size=4)


def test_an_npy_file_is_read_as_it_is_needed(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", COLOUR)
    monkeypatch.setattr(memory.os, "sysconf", lambda _: 1)  # a machine with one byte of memory
    assert torch.equal(
        everything(ArrayImages(path=str(tmp_path / "images.npy"))).pixels[0, 0], torch.tensor(COLOUR[0, ..., 0])
    )
    with pytest.raises(ValueError, match=r"pixels in .*images\.npz would take .* GB, and this machine has .*np\.save"):
        ArrayImages(path=stored(tmp_path, pixels=COLOUR))


class Code:
    """Prints when it is unpickled."""

    def __reduce__(self):
        return print, ("code ran",)


REFUSED = {
    "floats": (dict(a=COLOUR / 255.0), {}, r"no images in its arrays: uint8 .*; it holds a, float64 \(6, 8, 10, 3\)"),
    "none": (dict(a=COLOUR[:0]), {}, "no images in its arrays"),
    "rgba": (dict(a=np.zeros((2, 8, 8, 4), np.uint8)), {}, "no images in its arrays"),
    "not there": (dict(a=COLOUR), {"images": "b"}, r"data\.images=b is not in /.*images.npz; it holds a, uint8 "),
    "no image": (dict(a=COLOUR, b=LABELS), {"images": "b"}, r"no images in b: uint8"),
    "no split": (dict(x_train=COLOUR), {"split": "test"}, r"no images in arrays for data\.split=test"),
    "float labels": (dict(a=COLOUR, b=LABELS / 2), {}, r"b in .* holds float64, such as 0.0, which are no classes"),
    "negative": (dict(a=COLOUR, b=LABELS - 1), {}, r"numbers from -1 to 1, and classes are 0, 1, .*data\.labels=none"),
    "identifiers": (dict(a=COLOUR, b=LABELS * 10**9), {}, "numbers from 0 to 2000000000, and classes are 0, 1"),
    "one hot": (dict(a=COLOUR, b=np.eye(6)), {"labels": "b"}, r"b in .*, float64 \(6, 6\), has not one label for each"),
    "too few": (
        dict(a=COLOUR, b=LABELS[:4]),
        {"labels": "b"},
        r"b in .*, int64 \(4,\), has not one label for each of 6",
    ),
    "two labels": (dict(a=COLOUR, b=LABELS, c=LABELS), {}, "several arrays that could be the labels: b, c; name one"),
    "objects": (
        dict(a=COLOUR, b=np.array([Code()] * 6)),
        {},
        "b in .* holds Python objects, which could run code",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_one_line_that_says_what_to_type(tmp_path, name, capsys):
    named, options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        ArrayImages(path=stored(tmp_path, **named), **options)
    assert "\n" not in str(caught.value) and capsys.readouterr().out == ""


def test_damage_is_one_line_and_costs_no_memory(tmp_path):
    place = tmp_path / "images.npy"
    np.save(place, COLOUR)
    whole = place.read_bytes()
    claims = re.sub(rb"\(6, 8, 10, 3\)", b"(999999999,)  ", whole)
    shapes = [re.sub(rb"\(6, 8, 10, 3\)", shape, whole) for shape in (b"(-6, 8,10,-3)", b"(True,480, 3)")]
    for content in (b"", b"text", whole[:40], whole[:-1], whole + b"x", claims, b"PK\x03\x04" + whole, *shapes):
        place.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"images\.npy is no \.npz or \.npy file, or is damaged \(.*\); save it anew$"
        ):
            ArrayImages(path=str(place))
    path = stored(tmp_path, pixels=COLOUR)
    content = bytearray((tmp_path / "images.npz").read_bytes())
    content[300] ^= 255
    (tmp_path / "images.npz").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"pixels in .*images\.npz is damaged \(|is no \.npz or \.npy file, or is damaged"
    ):
        ArrayImages(path=path)
    with pytest.raises(ValueError, match=r"^zeros in .*images\.npz unpacks to over 200 times its file; save it un"):
        ArrayImages(path=stored(tmp_path, zeros=np.zeros((64, 64, 64), np.uint8)))
    for place in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(ValueError, match=rf"^there is no file {place}; set data\.path to an"):
            ArrayImages(path=str(place))
