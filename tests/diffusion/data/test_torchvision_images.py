"""torchvision's sets, on files made here."""

import struct

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from diffusion.data.torchvision_images import TorchvisionImages

PARTS = {"train": ("train", 6), "test": ("t10k", 4)}


@pytest.fixture
def root(tmp_path):
    """Files in MNIST's format under both of the names that use it."""
    chance = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        for part, count in PARTS.values():
            images = chance.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            header = struct.pack(">IIII", 2051, count, 28, 28)
            (raw / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
            labels = bytes(range(count))
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels)
    return tmp_path


def stored(root, part: str, count: int) -> torch.Tensor:
    content = (root / "MNIST" / "raw" / f"{part}-images-idx3-ubyte").read_bytes()[16:]
    return torch.tensor(list(content), dtype=torch.uint8).reshape(count, 1, 28, 28)


@pytest.mark.parametrize("split", PARTS)
def test_each_split_holds_its_own_images(root, split):
    images = TorchvisionImages(dataset="MNIST", root=str(root), split=split)
    assert torch.equal(images.pixels, stored(root, *PARTS[split]))
    assert images.labels.tolist() == list(range(PARTS[split][1]))


def test_padding_adds_black_and_moves_nothing(root):
    images = TorchvisionImages(dataset="MNIST", root=str(root), padding=2)
    assert images.shape == (1, 32, 32)
    assert torch.equal(images.pixels[..., 2:-2, 2:-2], stored(root, "train", 6))
    assert images.pixels.sum() == stored(root, "train", 6).sum()


def test_image_size_scales(root):
    images = TorchvisionImages(dataset="MNIST", root=str(root), image_size=14)
    assert images.shape == (1, 14, 14)
    halves = avg_pool2d(stored(root, "train", 6).float(), 2)
    assert (images.pixels - halves).abs().max() <= 1  # BOX rounds along each side


def test_classes_are_called_as_torchvision_calls_them(root):
    assert TorchvisionImages(dataset="FashionMNIST", root=str(root)).classes[:2] == ("T-shirt/top", "Trouser")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "CIFAR11"}, "no set 'CIFAR11'; set data.dataset=CIFAR10"),
        ({"dataset": "CIFAR10"}, r"^no CIFAR10 in /.*; set data\.download=true to fetch it, or data\.root="),
        ({"dataset": "MNIST", "split": "valid"}, "no split 'valid'; set data.split=train"),
        ({"dataset": "SEMEION", "split": "train"}, "set data.split=all"),
        ({"dataset": "ImageNet", "download": True}, "cannot fetch ImageNet; put its files in /"),
        ({"dataset": "QMNIST"}, "no QMNIST in /.*data.download=true"),
        ({"dataset": "SVHN", "split": "valid"}, "split"),
        ({"dataset": "FakeData"}, "no set 'FakeData'"),
        ({"dataset": "Flickr8k", "split": "all"}, "needs what has no setting .*ann_file.*; set data.dataset=CIFAR10"),
    ],
)
def test_impossible_wishes_say_what_to_type(root, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        TorchvisionImages(root=str(root), **options)
    assert "\n" not in str(caught.value)
