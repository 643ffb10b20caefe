"""Whether drawn images are new, or copies of images that the model learned from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.data.images import Images
from diffusion.evaluation import result_cache
from diffusion.evaluation.features import FEATURE_BATCH, Features, RealImages, concatenate
from diffusion.evaluation.subject import NOTHING, Evaluation, Findings, Subject, evenly_spaced, slug, write_result
from diffusion.inference.image_files import sampler_name
from diffusion.inference.titles import model_title, picture_title
from diffusion.pictures.grid import grid, save_picture
from diffusion.pictures.lettering import titled
from diffusion.pictures.pixels import from_uint8
from diffusion.pictures.plots import plot_distances
from diffusion.runs.files import atomic_write
from diffusion.samplers.sampler import Sampler

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = 10
PLACES = ("closest", "median", "farthest")  # of the pairs that are shown
# The quicker way by a matrix product would not tell a copy from a near copy.
EXACT = "donot_use_mm_for_euclid_dist"


def nearest(x: Tensor, others: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The distance of each of x (N, D) to the nearest of `others`, and which one that is, (N,).

    The others, (M, D), come in parts, and need not fit in memory together.
    """
    distance, which, passed = x.new_full((len(x),), torch.inf), x.new_zeros(len(x), dtype=torch.long), 0
    for part in others:
        found = torch.cdist(x, part.to(x.device), compute_mode=EXACT).min(1)
        which = torch.where(found.values < distance, found.indices + passed, which)
        distance = torch.minimum(distance, found.values)
        passed += len(part)
    return distance, which


class Novelty(NamedTuple):
    """How far each drawn image lies from its nearest training image, (N,), which one that is, (N,), and how far those
    lie that the model has not seen, (M,), if there are any: they show what may be expected of new images."""

    distance: Tensor
    which: Tensor
    unseen: Tensor | None

    @property
    def copies(self) -> int | None:
        """How many drawn images lie nearer to a training image than any unseen one does."""
        return None if self.unseen is None else int((self.distance < self.unseen.min()).sum())

    def facts(self) -> dict[str, Any]:
        test = {} if self.unseen is None else {"test": quantiles(self.unseen)}
        copies = {} if self.unseen is None else {"nearer_than_any_test_image": self.copies}
        return {"nearest_training_image": {"drawn": quantiles(self.distance), **test}, **copies}

    def numbers(self, what: str) -> dict[str, float]:
        """The median distance and the share of copies, named for `what` they were measured on."""
        found = {f"nearest_training_distance_{what}": quantiles(self.distance)["0.5"]}
        return found if self.copies is None else found | {f"copies_{what}": self.copies / len(self.distance)}

    def text(self, unit: str) -> str:
        drawn = f"nearest training image: at a median distance of {quantiles(self.distance)['0.5']:.2f}"
        if self.unseen is None:
            return f"{drawn} ({unit})"
        return (
            f"{drawn}, test images {quantiles(self.unseen)['0.5']:.2f} ({unit}); "
            f"{self.copies} are nearer to one than any test image is"
        )

    def show(
        self, folder: Path, pixels: Tensor, subject: Subject, title: str, labels: Sequence[str], y: Tensor | None = None
    ) -> None:
        """Write nearest.png, of drawn images uint8 (N, C, H, W) and their classes y (N,), and distances.png.

        `title` and `labels` (N,) say in words what was drawn.
        """
        picture = self.pairs(pixels, subject.training_images(), closest_to_farthest(self.distance, y), labels)
        title += f"\ndrawn images above the nearest training images, of {subject.training_title}, and the L2 distance"
        with atomic_write(folder / "nearest.png") as path:
            save_picture(path, titled(picture, title))
        distances = {"drawn": self.distance.tolist()}
        distances |= {} if self.unseen is None else {subject.title: self.unseen.tolist()}
        with atomic_write(folder / "distances.png") as path:
            xlabel = "L2 distance to the nearest training image"
            plot_distances(path, distances, xlabel=xlabel, title=model_title(subject.model))

    def pairs(self, pixels: Tensor, training: Images, shown: Tensor, labels: Sequence[str]) -> np.ndarray:
        """For each row of `shown` (3, columns) these drawn images, uint8 (N, C, H, W), above their training images: a
        picture, uint8 (height, width, C)."""
        rows, words, names = [], [], []
        for place, chosen in zip(PLACES, shown.cpu(), strict=True):
            rows += [pixels.cpu()[chosen], training.read(self.which.cpu()[chosen].tolist()).pixels]
            words += [labels[number] for number in chosen] + [f"{self.distance[number]:.2f}" for number in chosen]
            names += [f"drawn,\n{place}", "nearest\nin training"]
        return grid(from_uint8(torch.cat(rows)), columns=shown.shape[1], labels=words, rows=names)


def novelty(drawn: Tensor, unseen: Tensor | None, training: Iterable[Tensor], *, place: torch.device) -> Novelty:
    """The novelty of features drawn (N, D), beside unseen ones (M, D); the training images' come in parts (m, D)."""
    distance, which = nearest((drawn if unseen is None else torch.cat([drawn, unseen])).to(place), training)
    first, rest = distance.tensor_split([len(drawn)])
    return Novelty(first, which[: len(drawn)], None if unseen is None else rest)


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


class Memorisation(Evaluation):
    """Draws `num_images` and finds the training image nearest to each, among all there are.

    Distances are L2 between `features`. The distances of as many test images, if they were not trained on, show what
    to expect of new ones. Costly features of the training images are cached in the folder `cache`.

    Writes result.json, distances.png, and nearest.png: rows of drawn images above their nearest training images, first
    the closest pairs, then median ones, then the farthest.
    """

    def __init__(
        self, *, sampler: Sampler, features: Features, num_images: int = 500, seeds: int = 1,
        cache: str = result_cache.FOLDER,
    ) -> None:  # fmt: skip
        if num_images < 1:
            raise ValueError(f"evaluation.num_images={num_images} must be at least 1")
        self.sampler, self.features, self.num_images, self.seeds = sampler, features, num_images, seeds
        self.cache = Path(cache).expanduser()

    @property
    def name(self) -> str:
        return f"memorisation_{self.features.name}_{self.num_images}_images_{sampler_name(self.sampler)}"

    def check(self, subject: Subject) -> None:
        subject.check_comparable()
        self.sampler.levels(subject.model.diffusion.process)
        self.features.check(subject)

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        extractor, training = self.features.extractor(subject, self.cache), subject.training_images()
        prompts = subject.prompts(self.num_images)
        pixels = subject.draw(self.sampler, prompts, self.num_images)
        learned = RealImages(training, range(len(training)), subject.training_title)
        known = (part.features for part in learned.extracted(self.features, extractor, self.cache))
        if not distributed.is_leader():
            return NOTHING
        drawn = torch.cat([extractor.see(batch).features for batch in pixels.split(FEATURE_BATCH)])
        others = evenly_spaced(len(subject.images), self.num_images)
        unseen = concatenate(extractor.extract(subject.images, others)).features if subject.held_out else None
        found = novelty(drawn, unseen, known, place=subject.model.device)
        title = picture_title(subject.model, self.sampler, seed=subject.seed)
        found.show(folder, pixels, subject, title, prompts.labels(range(self.num_images)))
        numbers = found.numbers(
            f"{extractor.called(self.features.name)}_{slug(subject.training_title)}_{self.num_images}"
        )
        numbers |= extractor.facts(self.features.name)
        choices = {"num_images": self.num_images, "features": self.features.name, "num_training_images": len(training)}
        write_result(folder, {**numbers, **found.facts(), **choices, **subject.facts(self.sampler)})
        text = found.text(f"L2 between {self.features.name}, {self.num_images} images")
        return Findings("\n".join([text, *extractor.text(self.features.name, subject.training_title)]), numbers)
