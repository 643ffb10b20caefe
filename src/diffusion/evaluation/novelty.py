"""Whether drawn images are new, or copies of images that the model learned from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.data.images import Images
from diffusion.evaluation.subject import Subject
from diffusion.pictures.grid import grid, save_picture
from diffusion.pictures.pixels import from_uint8
from diffusion.pictures.plots import plot_distances

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = 10
# The quicker way by a matrix product would not tell a copy from a near copy.
EXACT = "donot_use_mm_for_euclid_dist"


class Nearest(NamedTuple):
    """The distance of each image to the nearest of others, (N,), and which one that is, (N,)."""

    distance: Tensor
    which: Tensor


def nearest(x: Tensor, others: Iterable[Tensor]) -> Nearest:
    """The nearest of `others`, (M, D) in parts, to each of x (N, D); they need not fit in memory together."""
    distance, which, passed = x.new_full((len(x),), torch.inf), x.new_zeros(len(x), dtype=torch.long), 0
    for part in others:
        found = torch.cdist(x, part.to(x.device), compute_mode=EXACT).min(1)
        which = torch.where(found.values < distance, found.indices + passed, which)
        distance = torch.minimum(distance, found.values)
        passed += len(part)
    return Nearest(distance, which)


def variety(x: Tensor, y: Tensor) -> float:
    """The mean distance between two images of one class, over all pairs, then over classes; each has two or more.

    The images x (N, C, H, W) lie in [-1, 1], their classes are y (N,); distances are over pixels in [0, 1].
    """
    return torch.stack([torch.pdist(flat_pixels(x[y == label])).mean() for label in y.unique()]).mean().item()


def flat_pixels(x: Tensor) -> Tensor:
    return ((x + 1) / 2).flatten(1)


class Novelty(NamedTuple):
    """The nearest training image of each drawn one, and how far the nearest lies from each image, (M,), that the model
    has not seen, if there are any: these show what may be expected of new images."""

    drawn: Nearest
    unseen: Tensor | None

    @property
    def copies(self) -> int | None:
        """How many drawn images lie nearer to a training image than any unseen one does."""
        return None if self.unseen is None else int((self.drawn.distance < self.unseen.min()).sum())

    def facts(self) -> dict[str, Any]:
        test = {} if self.unseen is None else {"test": quantiles(self.unseen)}
        copies = {} if self.unseen is None else {"nearer_than_any_test_image": self.copies}
        return {"nearest_training_image": {"drawn": quantiles(self.drawn.distance), **test}, **copies}

    def numbers(self, what: str) -> dict[str, float]:
        """The median distance and the share of copies, named for `what` they were measured on."""
        found = {f"nearest_training_distance_{what}": median(self.drawn.distance)}
        return found if self.copies is None else found | {f"copies_{what}": self.copies / len(self.drawn.distance)}

    def text(self, unit: str) -> str:
        drawn = f"nearest training image: at a median distance of {median(self.drawn.distance):.2f}"
        if self.unseen is None:
            return f"{drawn} ({unit})"
        return (
            f"{drawn}, test images {median(self.unseen):.2f} ({unit}); "
            f"{self.copies} are nearer to one than any test image is"
        )

    def show(self, folder: Path, pixels: Tensor, subject: Subject, y: Tensor | None = None) -> None:
        """Write nearest.png, of drawn images uint8 (N, C, H, W) and their classes y (N,), and distances.png."""
        shown = closest_to_farthest(self.drawn.distance, y)
        save_picture(folder / "nearest.png", pairs(pixels, self.drawn, subject.training_images(), shown))
        distances = {"drawn": self.drawn.distance.tolist()}
        distances |= {} if self.unseen is None else {subject.title: self.unseen.tolist()}
        plot_distances(folder / "distances.png", distances, xlabel="L2 distance to the nearest training image")


def novelty(drawn: Tensor, unseen: Tensor | None, training: Iterable[Tensor], *, place: torch.device) -> Novelty:
    """The novelty of features drawn (N, D), beside unseen ones (M, D); the training images' come in parts (m, D)."""
    distance, which = nearest((drawn if unseen is None else torch.cat([drawn, unseen])).to(place), training)
    first, rest = distance.tensor_split([len(drawn)])
    return Novelty(Nearest(first, which[: len(drawn)]), None if unseen is None else rest)


def median(distances: Tensor) -> float:
    return distances.double().quantile(0.5).item()


def quantiles(distances: Tensor) -> dict[str, float]:
    """The least, the quartiles and the greatest, by "0.0" ... "1.0"."""
    return {str(q): distances.double().quantile(q).item() for q in QUANTILES}


def closest_to_farthest(distance: Tensor, y: Tensor | None = None) -> Tensor:
    """Which images to look at, (3, columns): the closest, those in the middle, and the farthest of distance (N,).

    With classes y (N,) a column is one of the first ten classes.
    """
    if y is None:
        order, columns = distance.argsort(), min(COLUMNS, len(distance))
        return torch.stack([order[int(place * (len(order) - columns)) :][:columns] for place in (0.0, 0.5, 1.0)])
    of_class = [distance.where(y == label, torch.inf).argsort()[: (y == label).sum()] for label in y.unique()[:COLUMNS]]
    return torch.stack([torch.stack([o[int(place * (len(o) - 1))] for o in of_class]) for place in (0.0, 0.5, 1.0)])


def pairs(pixels: Tensor, near: Nearest, training: Images, shown: Tensor) -> np.ndarray:
    """A row of drawn images, uint8 (N, C, H, W), above a row of their nearest training images, for each row of `shown`:
    a picture, uint8 (height, width, C)."""
    pixels, which, shown = pixels.cpu(), near.which.cpu(), shown.cpu()
    rows = [rows for chosen in shown for rows in (pixels[chosen], training.read(which[chosen].tolist()).pixels)]
    return grid(from_uint8(torch.cat(rows)), columns=shown.shape[1])
