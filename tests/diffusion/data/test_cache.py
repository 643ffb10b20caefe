"""Packed images: the same as decoded ones, packed once, and packed anew when they must be."""

import errno
import logging
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.data import cache
from diffusion.data.folder import ImageFolder
from diffusion.data.loader import batches
from diffusion.runs import files


@pytest.fixture
def root(tmp_path):
    """Seven noise pictures, larger than what they are packed as, in two classes."""
    chance = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for i in range(7):
        pixels = chance.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{'ab'[i % 2]}_{i}.png")
    return tmp_path / "pictures"


def folder(root, **options) -> ImageFolder:
    place = str(root.parent / "cache")
    return ImageFolder(**{"root": str(root), "image_size": 8, "cache": place, "workers": 0, **options})


def prepared(root, **options) -> ImageFolder:
    images = folder(root, **options)
    images.prepare()
    return images


def pixels_file(root):
    (path,) = (root.parent / "cache").glob("*.pixels")
    return path


def packs(caplog, root, **options) -> bool:
    """Whether preparing packs; what it finds or makes is right in any case."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        images = prepared(root, **options)
    assert same(images, folder(root, **{**options, "cache": "off"})) and images.pixels is not None
    assert not list((root.parent / "cache").glob("*partial*"))
    return "Packed the" in caplog.text


def same(ours: ImageFolder, theirs: ImageFolder) -> bool:
    everything = range(len(theirs))
    return all(torch.equal(a, b) for a, b in zip(ours.read(everything), theirs.read(everything), strict=True))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("broken", [(), ("a_0.png", "b_3.png", "a_6.png")])
def test_training_sees_the_same_images_packed_or_decoded(root, workers, broken):
    for name in broken:
        (root / name).write_text("no image")
    options = {"labels": "prefix", "on_error": "skip", "flip": True, "workers": workers}
    streams = [
        batches(folder(root, **options, cache=place), batch_size=3, seed=0) for place in ("off", str(root / ".c"))
    ]
    for decoded, packed in islice(zip(*streams, strict=True), 8):
        assert torch.equal(decoded.x_0, packed.x_0) and torch.equal(decoded.condition["y"], packed.condition["y"])
    for stream in streams:
        stream.close()


def test_images_are_packed_once_and_serve_every_choice_of_labels(root, caplog):
    assert packs(caplog, root)
    assert not packs(caplog, root)
    assert not packs(caplog, root, labels="prefix", flip=True)
    assert packs(caplog, root, image_size=4) and packs(caplog, root, channels=1)


def test_changed_images_are_packed_again_and_replace_the_old(root, caplog):
    assert packs(caplog, root)
    Image.new("RGB", (9, 9), "red").save(root / "a_0.png")
    assert packs(caplog, root) and "changed" in caplog.text
    (root / "a_2.png").unlink()
    assert packs(caplog, root)
    assert not packs(caplog, root)
    pixels_file(root)  # is the only one


def replace_by(make, path):
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"\0" * path.stat().st_size),
        lambda path: cache.description_path(path).write_text('{"key": 3'),
        lambda path: cache.description_path(path).write_text("[]"),
        lambda path: cache.description_path(path).write_bytes(b"\xff\xfe"),
        lambda path: cache.description_path(path).write_text(
            cache.description_path(path).read_text().replace("[]", '["x"]')
        ),
        lambda path: cache.description_path(path).unlink(),
        lambda path: cache.description_path(path).write_text("[" * 200_000),
        lambda path: cache.description_path(path).write_text('{"a":' * 900 + "1" + "}" * 900),
        lambda path: replace_by(os.mkfifo, cache.description_path(path)),
        lambda path: replace_by(lambda place: place.symlink_to("/dev/zero"), cache.description_path(path)),
        lambda path: replace_by(os.mkfifo, path),
        lambda path: replace_by(lambda place: place.symlink_to("/dev/zero"), path),
        lambda path: path.unlink(),
        lambda path: os.mkfifo(path.with_name(f"{path.stem}.partial.pixels")) or path.unlink(),
        lambda path: path.rename(path.with_name(f"{path.stem}.partial.pixels")),
    ],
)
def test_what_is_damaged_is_packed_again(root, caplog, damage):
    packs(caplog, root)
    damage(pixels_file(root))
    assert packs(caplog, root)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) <= 1
    assert not packs(caplog, root)


def test_unreadable_images_are_named_at_every_start(root, caplog):
    (root / "b_1.png").write_text("no image")
    for _ in range(2):
        caplog.clear()
        prepared(root, on_error="skip")
        assert "1 of 7 images cannot be read and are left out: b_1.png" in caplog.text
    with pytest.raises(ValueError, match=r"cannot read /.*b_1\.png \(as it was .*data\.on_error=skip"):
        prepared(root)


def test_an_image_that_can_be_read_again_is_packed_after_all(root, caplog):
    whole = (root / "b_1.png").read_bytes()
    (root / "b_1.png").write_bytes(bytes(len(whole)))
    os.utime(root / "b_1.png", (0, 0))
    assert packs(caplog, root, on_error="skip")
    (root / "b_1.png").write_bytes(whole)
    os.utime(root / "b_1.png", (0, 0))
    assert packs(caplog, root, on_error="skip") and "b_1.png, which could not be read, now can" in caplog.text


def test_an_unreadable_image_stops_the_packing_and_leaves_nothing(root):
    (root / "b_1.png").write_text("no image")
    with pytest.raises(ValueError, match=r"cannot read /.*b_1\.png"):
        prepared(root, workers=2)
    assert [path.suffix for path in (root.parent / "cache").iterdir()] == [".lock"]
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("trouble", ["a file in its place", "a pipe as lock", "a full disk", "too small a disk"])
def test_without_a_place_images_are_decoded(root, caplog, monkeypatch, trouble):
    if trouble == "a file in its place":
        (root.parent / "cache").write_text("")
    elif trouble == "a pipe as lock":
        prepared(root)
        lock = pixels_file(root).with_suffix(".lock")
        replace_by(os.mkfifo, lock)
        pixels_file(root).unlink()
    elif trouble == "a full disk":
        monkeypatch.setattr(files, "sync", lambda path: full())
    else:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 0, 100))
    images = prepared(root)
    images.prepare()
    assert images.pixels is None and same(images, folder(root, cache="off"))
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "data.cache=PATH" in caplog.text


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_filled_cache_serves_those_who_may_not_write(root, monkeypatch):
    prepared(root)
    monkeypatch.setattr(cache, "exclusive_lock", lambda path: full())
    assert prepared(root).pixels is not None


def test_others_wait_for_the_one_that_packs(root, caplog):
    caplog.set_level(logging.INFO)
    images = folder(root)
    path = root.parent / "cache" / cache.file_name(images.root, images.shape)
    path.parent.mkdir()
    other = ThreadPoolExecutor(1)
    with cache.exclusive_lock(path):
        ready = other.submit(images.prepare)
        until = time.monotonic() + 20
        while "Waiting for another" not in caplog.text and time.monotonic() < until:
            time.sleep(0.01)
        assert "Waiting for another" in caplog.text and not path.exists()
        cache.pack(path, folder(root), cache.content_key(images))
    ready.result()
    assert images.pixels is not None and caplog.text.count("Packed the") == 1


def test_packing_says_how_long_it_takes_and_then_where_the_images_lie(root, monkeypatch, slow, capsys, caplog):
    monkeypatch.setattr(cache, "PIECE_BYTES", 8 * 8 * 3)
    with caplog.at_level(logging.INFO):
        prepared(root)
    assert capsys.readouterr().err == "Packing 7 images: about 5 s left, 29% done\n"
    (line,) = caplog.messages
    assert line.startswith(f"Packed the 7 images of {root} into {pixels_file(root)} (1.34kB) in ")


@pytest.mark.parametrize("word", ["", "False", "true", "None"])
def test_a_word_for_no_is_no_folder(root, word):
    with pytest.raises(ValueError, match=r"set data\.cache to auto, a path, or off"):
        folder(root, cache=word)


def test_auto_is_the_users_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.cache_folder("auto") == "/elsewhere/hydra-diffusion"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.cache_folder("auto") == "/home/me/.cache/hydra-diffusion"
