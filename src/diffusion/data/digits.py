"""The handwritten digits that come with the package: an experiment without a download."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from diffusion.data.images import Resident
from diffusion.data.preparation import fitted

FILE = Path(__file__).parent / "digits" / "digits.npz"
SPLITS = ("train", "test")
SIZES = (8, 16, 32)


class Digits(Resident):
    """1,797 grey images of the digits 0 to 9 (UCI, Alpaydin & Kaynak, CC BY 4.0): 1,442 to train, 355 to test.

    They are 8x8 with 17 levels; larger ones are smooth (bicubic) enlargements.
    """

    splits: ClassVar[Mapping[str, Mapping[str, Any]]] = {split: {"split": split} for split in SPLITS}
    runs_no_code = True

    def __init__(self, *, split: str = "train", image_size: int = 16, flip: bool = False) -> None:
        if split not in SPLITS:
            raise ValueError(f"the digits have no split {split!r}; set data.split=train or data.split=test")
        if image_size not in SIZES:
            raise ValueError(f"the digits come in the sizes 8, 16 and 32, not {image_size}; set data.image_size=16")
        with np.load(FILE) as stored:
            levels, labels = stored["levels"], stored["labels"]
        self.split, self.image_size = split, image_size
        chosen = is_test(labels) == (split == "test")
        grey = np.round(levels[chosen] * (255 / 16)).astype(np.uint8)
        size = {"channels": 1, "height": image_size, "width": image_size}
        pixels = torch.stack([fitted(Image.fromarray(image), **size) for image in grey])
        super().__init__(
            pixels, torch.from_numpy(labels[chosen].astype(np.int64)), classes=tuple("0123456789"), flip=flip
        )

    @classmethod
    def shape_from(cls, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        return 1, settings["image_size"], settings["image_size"]


def is_test(labels: np.ndarray) -> np.ndarray:
    """Whether each image belongs to the test split: every fifth of each digit, (N,).

    The images come writer by writer, and every writer filled in the same form, which begins 0 1 2 ... 9: every fifth
    image of all would take 12 % of the ones and 28 % of the threes. Counted by digit, both splits hold every writer,
    and the same share of every digit.
    """
    earlier = np.tril(labels[:, None] == labels, -1).sum(axis=1)
    return earlier % 5 == 4
