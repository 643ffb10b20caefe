"""The images of a data set of the Hugging Face hub, or of a table on this disk."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from diffusion.data.classes import Classes, classes_from
from diffusion.data.decoded_images import DecodedImages
from diffusion.data.hub import is_divided, is_local, library, open_table
from diffusion.data.images import UNLABELLED
from diffusion.data.preparation import FORMATS, fitted, ignore_size_warning, open_image, require_channels, require_sides
from diffusion.runs.printable import printable

MOST_TRIED = 20


class HubImages(DecodedImages):
    """The images of `name` in the order of its rows: a data set of the hub, or a path.

    A path is that of a .parquet or .arrow file, of what `save_to_disk` wrote, or of a folder of such files or of
    images. It is told from a name on the hub by how it is written: it begins with / ./ ../ or ~, has more than one /,
    or ends in .parquet or .arrow. `subset` is what the hub calls a configuration; without `download` it is what was
    fetched before. `images` and `labels` are columns: "auto" is the only one of images, and the only one of classes or
    else one called label; labels "none" leaves them out. The size and the channels are those of the first image unless
    they are given.

    `on_error`, `workers` and `cache` are those of `ImageFolder`.
    """

    splits: ClassVar[Mapping[str, Mapping[str, Any]]] = {split: {"split": split} for split in ("train", "test")}
    runs_no_code = True

    def __init__(
        self,
        *,
        name: str,
        subset: str | None = None,
        split: str = "train",
        images: str = "auto",
        labels: str = "auto",
        image_size: int | None = None,
        width: int | None = None,
        channels: int | None = None,
        download: bool = False,
        on_error: str = "raise",
        flip: bool = False,
        workers: int = 2,
        cache: str = "auto",
    ) -> None:
        if channels is not None:
            require_channels(channels)
        require_sides(image_size=image_size, width=width)
        name = os.path.abspath(os.path.expanduser(name)) if is_local(name) else name
        self.settings = {
            "name": name, "subset": subset, "split": split, "images": images, "labels": labels,
            "image_size": image_size, "width": width, "channels": channels, "download": download,
            "on_error": on_error, "flip": flip, "workers": workers, "cache": cache,
        }  # fmt: skip
        table = open_table(name, subset=subset, split=split, download=download)
        if not len(table):
            raise ValueError(f"{name} has no rows in data.split={split}; give another")
        self.column = image_column(table, images, name)
        self.root = " ".join(filter(None, (name, subset, split, self.column)))
        self.files = [str(row) for row in range(len(table))]
        super().__init__(on_error=on_error, flip=flip, workers=workers, cache=cache)
        self._fingerprint = table._fingerprint
        # As they are stored: the library itself would open whatever path or address a row names.
        self._rows = table.select_columns(self.column).cast_column(self.column, library().Image(decode=False))
        self.labels, self.classes = row_labels(table, labels, name)
        found, self._exact = self._first_shape(), image_size is None
        height = image_size or found[1]
        self.shape = channels or found[0], height, width or image_size or found[2]

    @classmethod
    def paths_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """A name is a path where it is none of the hub."""
        return ("name",) if is_local(settings.get("name", "")) else ()

    @classmethod
    def split_of(cls, settings: Mapping[str, Any]) -> list[str]:
        return super().split_of(settings) if is_divided(settings["name"]) else []

    @classmethod
    def title(cls, settings: Mapping[str, Any]) -> str:
        return " ".join([os.path.basename(settings["name"]), *cls.split_of(settings)])

    def place(self, file: str) -> str:
        return f"image {file} of {self.root}"

    def content(self) -> Iterator[str]:
        """The library's fingerprint of the table, and the column."""
        yield f"{self._fingerprint} {self.column}"

    def decoded(self, file: str) -> Tensor:
        channels, height, width = self.shape
        with self._opened(file) as image:
            if self._exact and image.size != (width, height):
                size = "x".join(map(str, image.size))
                raise ValueError(f"it is {size} pixels, the first {width}x{height}: set data.image_size={height}")
            return fitted(image, channels=channels, height=height, width=width)

    @contextmanager
    def _opened(self, file: str) -> Iterator[Image.Image]:
        row = self._rows[int(file)][self.column] or {}
        if row.get("bytes"):
            ignore_size_warning()
            with Image.open(io.BytesIO(row["bytes"]), formats=FORMATS) as image:
                yield image
        elif os.path.isfile(row.get("path") or ""):
            with open_image(row["path"]) as image:
                yield image
        else:
            raise ValueError(f"it lies at {row['path']}, not in the table" if row.get("path") else "its row is empty")

    def _first_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the first image that can be opened."""
        for file in self.files[:MOST_TRIED]:
            with suppress(Exception), self._opened(file) as image:
                return 1 if image.mode[:1] in "1LI" else 3, image.height, image.width
        raise ValueError(
            f"none of the first {MOST_TRIED} images of {self.root} can be read; name others: data.images=..."
        )


def image_column(table: Any, wanted: str, name: str) -> str:
    """The column of images that is wanted, or the only one; ValueError that names the columns."""
    kinds = {column: kind_of(feature) for column, feature in table.features.items()}
    found = [column for column, kind in kinds.items() if (kind == "Image" if wanted == "auto" else column == wanted)]
    if len(found) == 1 and kinds[found[0]] in ("Image", "binary"):
        return found[0]
    what = "several columns" if len(found) > 1 else "no column" if wanted == "auto" else f"no column {wanted}"
    listed = ", ".join(f"{column} ({kind})" for column, kind in kinds.items())
    raise ValueError(f"{name} has {what} of images; its columns are {listed}; name one of images: data.images=...")


def kind_of(feature: Any) -> str:
    """What a column holds; Image also for a record of bytes and a path, which is how images are stored."""
    if isinstance(feature, dict):
        return "Image" if feature.keys() == {"bytes", "path"} else "record"
    kind = type(feature).__name__
    return str(feature.dtype) if kind == "Value" else kind


def row_labels(table: Any, wanted: str, name: str) -> tuple[Tensor, Classes]:
    """The labels (N,) of the rows and the names of the classes; -1 throughout and None if there are none."""
    column = label_column(table, wanted, name)
    if column is None:
        return torch.full((len(table),), UNLABELLED), None
    if (kind := type(table.features[column]).__name__) not in ("ClassLabel", "Value"):
        raise ValueError(f"{column} of {name} holds {kind}, which is no class; name others: data.labels=..., or none")
    numbers, classes = classes_from(table.select_columns(column).with_format("numpy")[:][column], f"{column} of {name}")
    names = getattr(table.features[column], "names", None)
    if classes is None or not names:
        return numbers, classes
    if len(names) < len(classes):
        raise ValueError(
            f"{column} of {name} has {len(names)} classes and the label {len(classes) - 1}; set data.labels=none"
        )
    return numbers, tuple(map(printable, names))


def label_column(table: Any, wanted: str, name: str) -> str | None:
    """The column of labels that is wanted, or the only one that can be; None if there is none."""
    if wanted == "none":
        return None
    if wanted != "auto":
        if wanted not in table.features:
            raise ValueError(
                f"data.labels={wanted} is no column of {name}; its columns are {', '.join(table.features)}"
            )
        return wanted
    found = [column for column, feature in table.features.items() if kind_of(feature) == "ClassLabel"]
    if len(found) > 1:
        raise ValueError(f"{name} has several labels: {', '.join(found)}; name one: data.labels={found[0]}, or none")
    return next(iter(found), next((column for column in ("label", "labels") if column in table.features), None))
