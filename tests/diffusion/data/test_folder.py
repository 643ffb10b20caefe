"""Folders of images: what is found, what it is called, and what happens to the unreadable."""

import errno
import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.data.folder import ImageFolder


def fill(root, *files):
    """Writes one grey image per file name; the level of the first is 10, of the second 20, ..."""
    for i, file in enumerate(files):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 8), 10 * (i + 1)).save(root / file)


def folder(where, **options) -> ImageFolder:
    return ImageFolder(**{"root": str(where), "image_size": 8, "channels": 1, **options})


def levels(images: ImageFolder) -> list[int]:
    return [int(images[i][0][0, 0, 0]) for i in range(len(images))]


def test_every_image_at_any_depth_is_found_in_order(tmp_path):
    fill(tmp_path, "a/z.PNG", "a/b/c/y.jpeg", "x.Gif", "a.webp")
    fill(tmp_path, ".hidden.png", ".cache/w.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert folder(tmp_path).files == ["a.webp", "a/b/c/y.jpeg", "a/z.PNG", "x.Gif"]


def test_linked_folders_are_followed(tmp_path):
    fill(tmp_path, "elsewhere/x.png")
    (tmp_path / "root").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "root" / "cats")
    assert folder(tmp_path / "root", labels="folder").classes == ("cats",)


def test_links_to_where_one_is_end_and_no_folder_is_listed_twice(tmp_path):
    root = tmp_path / "root"
    fill(root, "cats/x.png", "cats/young/y.png", "dogs/z.png")
    fill(tmp_path, "beside.png", "elsewhere/w.png")
    for name, target in {
        "here": ".", "there": ".", "up": "..", "top": "/", "a": "cats", "cats/dogs": "../dogs", "dogs/cats": "../cats",
        "cats/young/up": "../..", "far": tmp_path / "elsewhere", "further": tmp_path / "elsewhere", "loop": "loop",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    assert folder(root).files == ["cats/x.png", "cats/young/y.png", "dogs/z.png", "far/w.png"]


def test_what_is_no_file_is_named_and_waits_for_nobody(tmp_path, caplog):
    fill(tmp_path, "z.png")
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    (tmp_path / "c.png").symlink_to("c.png")
    (tmp_path / "d.png").touch()
    os.truncate(tmp_path / "d.png", 20 * 2**30)
    with pytest.raises(ValueError, match=r"cannot read /.*/a\.png \(not a regular file\); set data\.on_error=skip"):
        folder(tmp_path)[0]
    assert levels(folder(tmp_path, on_error="skip")) == [10] * 5 and len(caplog.records) == 4


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path, caplog, monkeypatch):
    fill(tmp_path, "a/x.png", "lost/y.png")
    look = os.scandir

    def refusing(path):  # by hand, as root may look into any
        if str(path).endswith("lost"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert folder(tmp_path).files == ["a/x.png"]
    assert caplog.messages == [f"{tmp_path}/lost cannot be looked into and is left out: Permission denied"]


def test_no_other_program_is_started_for_an_image(tmp_path):
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(ValueError, match="no image of a known format"):
        folder(tmp_path)[0]


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [("none", None, [-1, -1, -1]), ("folder", ("cats", "dogs"), [0, 1, 1]), ("prefix", ("pet", "wild"), [1, 0, 1])],
)
def test_labels_come_from_where_they_are_said_to(tmp_path, labels, classes, expected):
    fill(tmp_path, "cats/wild_1.png", "dogs/pet_1.png", "dogs/young/wild_2_3.png")
    images = folder(tmp_path, labels=labels)
    assert images.classes == classes
    assert [label for _, label in (images[i] for i in range(3))] == expected


def test_reading_several_equals_reading_one_by_one(tmp_path):
    fill(tmp_path, "a_1.png", "b_1.png", "c_1.png")
    images = folder(tmp_path, labels="prefix", channels=3)
    pixels, labels = images.read([2, 0])
    assert torch.equal(pixels, torch.stack([images[2][0], images[0][0]])) and labels.tolist() == [2, 0]
    assert pixels.shape == (2, *images.shape)


def test_a_width_makes_other_than_square_images(tmp_path):
    fill(tmp_path, "a.png")
    images = folder(tmp_path, width=24)
    assert images.shape == (1, 8, 24) == tuple(images[0][0].shape)


def test_an_unreadable_image_is_named_with_the_way_out(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    images = folder(tmp_path)
    with pytest.raises(ValueError, match=r"b\.png \(.+\); set data\.on_error=skip") as caught:
        images[1]
    assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_unreadable(tmp_path, monkeypatch):
    fill(tmp_path, "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"decompression bomb.*data\.on_error=skip"):
        folder(tmp_path)[0]


def test_skipped_images_are_replaced_by_the_next_and_named_once(tmp_path, caplog):
    fill(tmp_path, "a_1.png", "b_1.png", "c_1.png", "d_1.png")
    for broken in ("b_1.png", "d_1.png"):
        (tmp_path / broken).write_text("no image")
    images = folder(tmp_path, labels="prefix", on_error="skip")
    with caplog.at_level(logging.WARNING):
        assert levels(images) == levels(images) == [10, 30, 30, 10]
        assert [images[i][1] for i in range(4)] == [0, 2, 2, 0]
    assert [os.path.basename(record.args[0]) for record in caplog.records] == ["b_1.png", "d_1.png"]


def test_no_readable_image_at_all_is_an_error(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match="none of the 1 images"):
        folder(tmp_path, on_error="skip")[0]


def test_indices_beyond_the_end_are_refused(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    images = folder(tmp_path)
    assert torch.equal(images[-1][0], images[1][0])
    with pytest.raises(IndexError):
        images[2]


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ([], {}, "there are no images"),
        (["a.png"], {"root": "nowhere/at/all"}, "no folder .*nowhere/at/all; set data.root"),
        (
            ["cats/a.png", "b.png"],
            {"labels": "folder"},
            r"in a sub-folder, and b\.png in /.* has none; set data\.labels",
        ),
        (["a_1.png", "b.png"], {"labels": "prefix"}, r"b\.png in .* has none; set data\.labels"),
        (["a.png"], {"labels": "file"}, "none, folder or prefix"),
        (["a.png"], {"on_error": "ignore"}, "raise or skip"),
        (["a.png"], {"channels": 4}, "1 .grey. or 3 .RGB."),
    ],
)
def test_impossible_wishes_say_what_to_type(tmp_path, files, options, message):
    fill(tmp_path, *files)
    with pytest.raises(ValueError, match=message) as caught:
        folder(tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_pixels_are_those_of_the_file(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    assert np.array_equal(folder(tmp_path, channels=3)[0][0].permute(1, 2, 0), stored)
