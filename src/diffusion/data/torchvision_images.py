"""The data sets that torchvision knows by name."""

import difflib
import inspect
import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import torch
from PIL import Image, ImageOps
from torch import Tensor

from diffusion.compute.memory import check_pixels
from diffusion.data.images import UNLABELLED, Resident
from diffusion.data.preparation import fitted, require_sides

MOST_PADDING = 1000  # pixels
# torchvision compares every file of the first two with its hash before it unpickles it, and unpickles none of the
# others' but those of an old kind, in a folder `processed`.
HASHED = ("CIFAR10", "CIFAR100")
NOT_PICKLED = ("MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST")


class TorchvisionImages(Resident):
    """A set of torchvision.datasets, such as CIFAR10, MNIST or FashionMNIST, held in memory.

    `split` is "train", "test" or what the set calls its parts; "all" where it has none. `padding` puts a black margin
    of so many pixels around each image (2 makes MNIST 32x32); then `image_size`, if given, scales and crops it square.
    For a set beyond memory, unpack it and use `ImageFolder`.
    """

    splits: ClassVar[Mapping[str, Mapping[str, Any]]] = {split: {"split": split} for split in ("train", "test")}

    def __init__(
        self,
        *,
        dataset: str,
        root: str = "datasets",
        split: str = "train",
        download: bool = False,
        padding: int = 0,
        image_size: int | None = None,
        flip: bool = False,
    ) -> None:
        self.dataset, self.root, self.split, self.download = dataset, os.path.abspath(root), split, download
        self.padding, self.image_size = padding, image_size
        require_sides(image_size=image_size)
        if not 0 <= padding <= MOST_PADDING:
            raise ValueError(f"data.padding={padding} must lie between 0 and {MOST_PADDING}; set data.padding=2")
        source = open_dataset(dataset, root=root, split=split, download=download)
        pixels, labels = load_into_memory(source, dataset, padding=padding, image_size=image_size)
        super().__init__(pixels, labels, classes=class_names(source, labels), flip=flip)

    @classmethod
    def title(cls, settings: Mapping[str, Any]) -> str:
        return f"{settings['dataset']} {settings['split']}"

    @classmethod
    def reads_no_code(cls, settings: Mapping[str, Any]) -> bool:
        name, root = str(settings.get("dataset")), os.path.expanduser(str(settings.get("root")))
        return name in HASHED or (name in NOT_PICKLED and not os.path.exists(os.path.join(root, name, "processed")))


def open_dataset(name: str, *, root: str, split: str, download: bool) -> Any:
    """torchvision's set called `name`. ValueError when there is none, or its files are not in `root`."""
    kind = dataset_class(name)
    # Those of its parents too, as sets pass keywords on to them.
    accepted = {each for parent in kind.__mro__[:-1] for each in inspect.signature(parent).parameters}
    root = os.path.abspath(os.path.expanduser(root))
    arguments = {"root": root, **split_argument(name, split, accepted)}
    if "download" in accepted:
        arguments["download"] = download
    elif download:
        raise ValueError(f"torchvision cannot fetch {name}; put its files in {root} and set data.download=false")
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name} needs what has no setting ({error}); set data.dataset=CIFAR10") from error
    except ImportError as error:
        raise ValueError(f"{name} needs the package {error.name}; type: pip install {error.name}") from error
    except (RuntimeError, OSError, AssertionError, LookupError) as error:
        if download:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"cannot fetch {name} into {root} ({reason}); set data.root=... to a copy") from error
        fetch = "data.download=true to fetch it, or " if "download" in accepted else ""
        raise ValueError(f"no {name} in {root}; set {fetch}data.root=... to the folder that holds it") from error


def split_argument(name: str, split: str, accepted: set[str]) -> dict[str, Any]:
    """`split` in the words of the set called `name`."""
    if "split" in accepted:
        return {"split": split}
    parts = ("train", "test") if "train" in accepted else ("all",)
    if split not in parts:
        raise ValueError(f"{name} has no split {split!r}; set {' or '.join(f'data.split={part}' for part in parts)}")
    return {"train": split == "train"} if "train" in accepted else {}


def dataset_class(name: str) -> type:
    """The class torchvision.datasets.`name`."""
    import torchvision  # here, since it takes 1.5 s that only these sets need

    known = torchvision.datasets.__all__
    kind = getattr(torchvision.datasets, name) if name in known else None
    if not isinstance(kind, type) or "root" not in inspect.signature(kind).parameters:
        nearest = [*difflib.get_close_matches(name, known, n=1), "CIFAR10"][0]
        raise ValueError(f"torchvision has no set {name!r}; set data.dataset={nearest} or another of its datasets")
    return kind


def load_into_memory(source: Any, name: str, *, padding: int, image_size: int | None) -> tuple[Tensor, Tensor]:
    """All images of `source`, uint8 (N, C, H, W), and their labels, int64 (N,)."""
    first = source[0][0]
    if not isinstance(first, Image.Image):
        raise ValueError(f"{name} does not consist of images; set data.dataset=CIFAR10 or another set that does")
    width, height = (image_size, image_size) if image_size else ImageOps.expand(first, padding).size
    shape = {"channels": 1 if first.mode in ("1", "L") else 3, "height": height, "width": width}
    check_pixels(len(source), (shape["channels"], height, width), "set a smaller data.image_size or data.padding")
    pixels = torch.empty(len(source), *shape.values(), dtype=torch.uint8)
    labels = torch.full((len(source),), UNLABELLED)
    for i in range(len(source)):
        image, target = source[i][:2]
        image = ImageOps.expand(image, padding)
        if image_size is None and image.size != (width, height):
            raise ValueError(f"the images of {name} differ in size; set data.image_size={min(height, width)}")
        pixels[i] = fitted(image, **shape)
        if isinstance(target, Integral):
            labels[i] = int(target)
    return pixels, labels


def class_names(source: Any, labels: Tensor) -> tuple[str, ...] | None:
    """What `source` calls the labels, or their numbers when it has no names; None when there are no labels."""
    count = int(labels.max()) + 1  # 0 if all are UNLABELLED
    return tuple(getattr(source, "classes", None) or map(str, range(count))) if count else None
