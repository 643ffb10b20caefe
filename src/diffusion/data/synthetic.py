"""Images made from nothing but their number: for tests, and for speed without a disk."""

import math

import torch
from torch import Tensor

from diffusion.compute.randomness import generator
from diffusion.data.images import UNLABELLED, Resident
from diffusion.data.preparation import require_channels, require_sides
from diffusion.pictures.pixels import to_uint8

MOST_IMAGES, MOST_BYTES = 2**16, 2**28


class Synthetic(Resident):
    """A soft disc before a gradient, the same for the same number; the class turns the gradient's direction."""

    runs_no_code = True

    def __init__(
        self,
        *,
        image_size: int = 64,
        width: int | None = None,
        channels: int = 3,
        num_classes: int | None = None,
        num_images: int = 1024,
        flip: bool = False,
    ) -> None:
        require_channels(channels)
        require_sides(image_size=image_size, width=width)
        for name, number in (("num_images", num_images), ("num_classes", num_classes)):
            if number is not None and number < 1:
                raise ValueError(f"data.{name}={number} must be at least 1")
        if num_images > MOST_IMAGES or num_images * channels * image_size * (width or image_size) > MOST_BYTES:
            raise ValueError(
                f"{num_images} synthetic images of this size take too long to make; set data.num_images=1024"
            )
        if num_classes is not None and num_classes > num_images:
            raise ValueError(
                f"{num_images} images show no {num_classes} classes; set data.num_classes={num_images} or less"
            )
        self.image_size, self.width, self.channels = image_size, width, channels
        self.num_classes, self.num_images = num_classes, num_images
        shape = channels, image_size, width or image_size
        numbers = torch.arange(num_images)
        labels = torch.full_like(numbers, UNLABELLED) if num_classes is None else numbers % num_classes
        turns = [None if num_classes is None else label / num_classes for label in labels.tolist()]
        pixels = torch.stack([disc(number, shape, turn) for number, turn in enumerate(turns)])
        classes = None if num_classes is None else tuple(str(label) for label in range(num_classes))
        super().__init__(pixels, labels, classes=classes, flip=flip)


def disc(number: int, shape: tuple[int, int, int], turn: float | None) -> Tensor:
    """The uint8 image (C, H, W) of `number`; `turn` in [0, 1) is the gradient's direction, drawn too when None."""
    channels, height, width = shape
    chance = generator("synthetic", number)
    near, far, colour = 2 * torch.rand(3, channels, 1, 1, generator=chance) - 1
    radius, x, y, drawn_turn = torch.rand(4, generator=chance).tolist()
    columns, rows = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)[:, None]
    angle = 2 * math.pi * (drawn_turn if turn is None else turn)
    across = (math.cos(angle) * columns + math.sin(angle) * rows + math.sqrt(2)) / math.sqrt(8)
    distance = torch.hypot(columns - (x - 0.5), rows - (y - 0.5))
    inside = torch.sigmoid((0.2 + 0.4 * radius - distance) * height / 2)
    return to_uint8(torch.lerp(torch.lerp(near, far, across), colour, inside))
