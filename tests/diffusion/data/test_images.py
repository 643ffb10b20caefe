"""What a set of images says of its constructor's arguments."""

import pytest

from diffusion.data.digits import Digits
from diffusion.data.folder import ImageFolder
from diffusion.data.images import Images
from diffusion.data.synthetic import Synthetic
from diffusion.data.torchvision_images import TorchvisionImages


class Scans(Images):
    """A set of one's own that says nothing but what it is."""


def test_a_set_of_ones_own_is_called_by_its_class_or_its_folder_and_trusted_with_nothing():
    assert Scans.title({}) == "scans" and Scans.title({"root": "/a/photos/"}) == "photos"
    assert not Scans.splits and not Scans.reads_no_code({}) and "workers" in Scans.incidental


@pytest.mark.parametrize(
    ("kind", "settings", "title", "reads_no_code"),
    [
        (Digits, {"split": "test", "image_size": 8}, "digits test", True),
        (Synthetic, {"image_size": 8}, "synthetic", True),
        (ImageFolder, {"root": "/a/photos", "image_size": 8}, "photos", True),
        (TorchvisionImages, {"dataset": "CIFAR10", "split": "train"}, "CIFAR10 train", True),
        (TorchvisionImages, {"dataset": "LSUN", "split": "all"}, "LSUN all", False),
    ],
)
def test_titles_and_trust(kind, settings, title, reads_no_code):
    assert kind.title(settings) == title and kind.reads_no_code(settings) is reads_no_code


@pytest.mark.parametrize("name", ["MNIST", "KMNIST"])
def test_a_set_that_is_verified_by_no_hash_is_read_only_where_nothing_would_be_unpickled(tmp_path, name):
    settings = {"dataset": name, "split": "train", "root": str(tmp_path)}
    assert TorchvisionImages.reads_no_code(settings)
    (tmp_path / name / "processed").mkdir(parents=True)
    assert not TorchvisionImages.reads_no_code(settings)


@pytest.mark.parametrize("settings", [{"num_images": 10**9}, {"image_size": 2**14, "num_images": 10}])
def test_more_synthetic_images_than_can_be_made_are_refused(settings):
    with pytest.raises(ValueError, match=r"take too long to make; set data.num_images=1024"):
        Synthetic(**settings)


def test_garbage_in_the_files_of_a_set_is_one_line(tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for part, kind in [(part, kind) for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]:
        (tmp_path / "MNIST" / "raw" / f"{part}-{kind}-ubyte").write_bytes(b"garbage garbage")
    with pytest.raises(ValueError, match=r"^no MNIST in .*; set data.download=true"):
        TorchvisionImages(dataset="MNIST", root=str(tmp_path))


def test_the_shape_is_known_without_a_look_at_the_images():
    assert Digits.shape_from({"image_size": 8}) == (1, 8, 8) == Digits(image_size=8).shape
    assert ImageFolder.shape_from({"image_size": 64, "channels": 3, "width": 96}) == (3, 64, 96)
    with pytest.raises(ValueError, match=r"give data\.image_size="):
        TorchvisionImages.shape_from({"image_size": None})
