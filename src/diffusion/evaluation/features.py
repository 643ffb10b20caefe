"""The features that images are compared by: their pixels, or a network's activations."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.compute.progress import Progress
from diffusion.compute.randomness import generator
from diffusion.data.images import Images
from diffusion.data.readers import in_order
from diffusion.evaluation import result_cache
from diffusion.evaluation.accuracy import Accuracy
from diffusion.evaluation.subject import Subject, evenly_spaced, slug

FINGERPRINT_IMAGES = 64
FEATURE_BATCH = 64
HELD_OUT = 0.1
FEWEST_HELD_OUT = 50


class Extracted(NamedTuple):
    """The features of images, float32 (N, D), and what a classifier makes of them, (N, classes), if there is one."""

    features: Tensor
    logits: Tensor | None = None

    def rows(self, chosen: Tensor) -> "Extracted":
        """Those of some of the images, by a mask (N,)."""
        return Extracted(self.features[chosen], None if self.logits is None else self.logits[chosen])


def concatenate(parts: Iterable[Extracted]) -> Extracted:
    """All parts, one after the other; no rows where there are none."""
    features, logits = zip(*([*parts] or [Extracted(torch.empty(0, 0))]), strict=True)
    return Extracted(torch.cat(features), None if logits[0] is None else torch.cat(logits))


class Extractor(NamedTuple):
    """`see` returns the features of images, uint8 (N, C, H, W), on the CPU.

    A costly extractor has a `fingerprint`: equal ones give equal features. One that was trained on the images has an
    `accuracy` on others. One of published weights has an `origin`, which says what published values depend on, by name;
    a `variant` is a part of the names of metrics that compare with those of no other.
    """

    see: Callable[[Tensor], Extracted]
    fingerprint: str | None = None
    accuracy: Accuracy | None = None
    origin: Mapping[str, str] = MappingProxyType({})
    variant: str = ""

    def called(self, name: str) -> str:
        """The features called `name` as they stand in the names of metrics."""
        return f"{name}_{self.variant}" if self.variant else name

    def facts(self, name: str) -> dict[str, float]:
        """The accuracy, if it has one, of the features called `name`."""
        return {} if self.accuracy is None else self.accuracy.facts(name)

    def text(self, name: str, title: str) -> list[str]:
        """Lines that say it, of images called `title`, and the origin."""
        origin = [f"{name}: {', '.join(f'{key} {value}' for key, value in self.origin.items())}"] if self.origin else []
        return origin if self.accuracy is None else [f"the {name} reads {self.accuracy.text(title)}", *origin]

    def extract(self, images: Images, numbers: Sequence[int]) -> Iterator[Extracted]:
        """What is seen in the images of these numbers, batch by batch."""
        wanted = [list(numbers[first : first + FEATURE_BATCH]) for first in range(0, len(numbers), FEATURE_BATCH)]
        what = f"Computing features of {len(numbers):,} images"
        with Progress(what, len(numbers)) as progress, closing(in_order(images, wanted)) as reads:
            for pixels, _ in reads:
                yield self.see(pixels)
                progress.advance(len(pixels))


class Features(ABC):
    """A choice of features. `metrics` maps each measure to its name for these features."""

    name: ClassVar[str]
    metrics: ClassVar[Mapping[str, str]] = {
        name: name for name in ("frechet_distance", "kernel_distance", "class_score", "precision", "recall")
    }

    def check(self, subject: Subject) -> None:
        """Raise ValueError if images of the subject have no such features."""

    @abstractmethod
    def extractor(self, subject: Subject, cache: Path) -> Extractor:
        """The extractor, the same on every process; all must call it."""


class Pixels(Features):
    """All pixels, in [0, 1]."""

    name = "pixels"
    metrics: ClassVar[Mapping[str, str]] = {name: name for name in Features.metrics if name != "class_score"}

    def extractor(self, subject: Subject, cache: Path) -> Extractor:
        return Extractor(lambda pixels: Extracted(pixels.cpu().flatten(1) / 255))


class RealImages(NamedTuple):
    """Images to compare with: those of these numbers in a set that people call `title`."""

    images: Images
    numbers: Sequence[int]
    title: str

    def extracted(self, kind: Features, extractor: Extractor, cache: Path) -> Iterable[Extracted]:
        """What is seen in them, in parts, on the leader; all processes must call it.

        Cheap ones are computed when iterated over. Costly ones are computed by all processes together, and cached.
        """
        if extractor.fingerprint is None:
            return extractor.extract(self.images, self.numbers) if distributed.is_leader() else []

        def compute() -> result_cache.Arrays:
            mine = list(extractor.extract(self.images, distributed.shard(self.numbers)))
            seen = concatenate(part for share in distributed.all_gather(mine) for part in share)
            return {name: part.numpy() for name, part in seen._asdict().items() if part is not None}

        count, what = len(self.numbers), f"features of {len(self.numbers)} images of {self.title}"
        key = result_cache.fingerprint(
            dataset_fingerprint(self.images), extractor.fingerprint, list(self.numbers), Extracted._fields
        )
        path = cache / f"features_{kind.name}_{slug(self.title)}_{count}_{key}.npz"
        known = result_cache.cached(path, compute, what=what, computing=f"Computing the {what}")
        return [Extracted(**{name: torch.from_numpy(part) for name, part in known.items()})] if known else []


def held_out(total: int) -> Tensor:
    """Which of so many training images no judge learns from, bool (total,): a tenth by chance, always the same.

    A tenth of less than 500 images is too few to test on, so it is 50 of them, but never more than half.
    """
    count = min(max(int(HELD_OUT * total), FEWEST_HELD_OUT), total // 2)
    return torch.randperm(total, generator=generator("held out")) < count


def dataset_fingerprint(images: Images) -> str:
    """A fingerprint of the set: its size, its classes, and a few of its images."""
    pixels, labels = images.read(evenly_spaced(len(images), FINGERPRINT_IMAGES))
    return result_cache.fingerprint(len(images), images.classes, np.asarray(pixels), np.asarray(labels))
