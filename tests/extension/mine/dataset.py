from typing import ClassVar

import torch

from diffusion import Resident


class Checkers(Resident):
    """Grey checkerboards of two classes: light or dark in the corner. Every fourth image is for testing."""

    splits: ClassVar = {"train": {"test": False}, "test": {"test": True}}

    def __init__(self, *, image_size: int = 8, num_images: int = 64, test: bool = False, flip: bool = False) -> None:
        labels = torch.arange(num_images) % 2
        rows = torch.arange(image_size)
        board = (rows[:, None] + rows) % 2
        bright = 155 + torch.arange(num_images)[:, None, None] % 100
        pixels = ((board + labels[:, None, None]) % 2 * bright).to(torch.uint8)[:, None]
        chosen = (torch.arange(num_images) % 4 == 3) == test
        super().__init__(pixels[chosen], labels[chosen], classes=("dark", "light"), flip=flip)

    @classmethod
    def reads_no_code(cls, settings) -> bool:
        return True
