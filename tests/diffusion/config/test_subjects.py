"""The images that a checkpoint names are opened only if that can run no code, and only of its own shape."""

import pytest

from diffusion.config.data_choice import from_checkpoint, same_set, set_hash, settings_of, title_of
from diffusion.config.subjects import read_from_checkpoint


def read(shape=(1, 8, 8), **data):
    return read_from_checkpoint(from_checkpoint(data), shape=shape, trust=())


def test_digits_are_read():
    assert read(_target_="diffusion.Digits", image_size=8).shape == (1, 8, 8)


@pytest.mark.parametrize(
    "name", ["LSUN", "LSUNClass", "ImageFolder", "DatasetFolder", "FakeData", "SVHN", "Nowhere", "os"]
)
def test_what_could_run_code_is_opened_by_no_checkpoint(tmp_path, name):
    with pytest.raises(ValueError, match=r"could run code when they are read; .*name them yourself: data="):
        read(_target_="diffusion.TorchvisionImages", dataset=name, root=str(tmp_path), split="all")


@pytest.mark.parametrize(
    "data",
    [
        {"_target_": "diffusion.Synthetic", "image_size": 10**6},
        {"_target_": "diffusion.Synthetic", "image_size": 8, "width": 10**9, "channels": 1},
        {"_target_": "diffusion.Digits", "image_size": 16},
        {"_target_": "diffusion.ImageFolder", "root": "/nowhere", "image_size": 8},
    ],
)
def test_images_of_another_shape_are_not_made_to_find_that_out(data):
    with pytest.raises(ValueError, match=r"the checkpoint draws images of \(1, 8, 8\), and names .*data="):
        read(**data)


def test_a_checkpoint_fetches_nothing_and_starts_no_crowd():
    folder = {"_target_": "diffusion.ImageFolder", "root": "/nowhere", "workers": 10**6, "cache": "/etc"}
    assert from_checkpoint(folder) == {**folder, "workers": 2, "cache": "auto"}


def test_folders_of_one_name_are_told_apart_and_parts_of_one_set_are_not():
    folder = {"_target_": "diffusion.ImageFolder", "image_size": 8}
    one, other, again = ({**folder, "root": root} for root in ("/a/photos", "/b/photos", "/a/../a/photos"))
    assert title_of(one) == title_of(other) and set_hash(one) == set_hash(again) != set_hash(other)
    digits = {"_target_": "diffusion.Digits", "image_size": 8}
    assert same_set({**digits, "split": "test"}, {**digits, "split": "train"}) and not same_set(digits, one)


def test_what_the_set_needs_and_the_settings_lack_is_named():
    with pytest.raises(ValueError, match=r"^data\.root has no value; give it one: data\.root=\.\.\.$"):
        settings_of({"_target_": "diffusion.ImageFolder"})
