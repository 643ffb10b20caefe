"""The features that images are compared by: their pixels, or a network's activations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.data.images import Images
from diffusion.data.readers import in_order
from diffusion.evaluation import recogniser, result_cache
from diffusion.evaluation.subject import Subject, evenly_spaced, slug
from diffusion.pictures.pixels import from_uint8

MOST_TRAINING_IMAGES = 50_000  # for a recogniser
FINGERPRINT_IMAGES = 64
FEATURE_BATCH = 64


class Extracted(NamedTuple):
    """The features of images, float32 (N, D), and what a classifier makes of them, (N, classes), if there is one."""

    features: Tensor
    logits: Tensor | None = None


class Extractor(NamedTuple):
    """`see` returns the features of images, uint8 (N, C, H, W), on the CPU.

    A costly extractor has a `fingerprint`: equal ones give equal features.
    """

    see: Callable[[Tensor], Extracted]
    fingerprint: str | None = None


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


class Recogniser(Features):
    """The last maps of a small classifier, averaged over space: 64 numbers.

    It is trained on the real training images, in seconds, and cached, so that the same one judges every model.
    """

    name = "recogniser"

    def check(self, subject: Subject) -> None:
        if subject.training_images().classes is None:
            raise ValueError(
                f"the images of {subject.training_title} have no labels for a recogniser to learn from; "
                "set evaluation/features=inception, or pixels"
            )

    def extractor(self, subject: Subject, cache: Path) -> Extractor:
        images = subject.training_images()
        state = distributed.all_gather(load_or_train(subject, images, cache) if distributed.is_leader() else None)[0]
        network = recogniser.network(images.shape, len(images.classes or ()))
        network.load_state_dict({name: torch.from_numpy(weight) for name, weight in (state or {}).items()})
        device = subject.model.device
        network.to(device).eval()

        @torch.no_grad()
        def see(pixels: Tensor) -> Extracted:
            maps, logits = recogniser.features_and_logits(network, from_uint8(pixels.to(device)))
            return Extracted(maps.mean((2, 3)).cpu(), logits.cpu())

        return Extractor(see, result_cache.fingerprint(*(state or {}).values()))


def load_or_train(subject: Subject, images: Images, cache: Path) -> result_cache.Arrays:
    """The weights of a recogniser of the images, from the cache or by training."""
    recipe = (recogniser.WIDTHS, recogniser.STEPS, recogniser.BATCH, recogniser.RATE)
    path = (
        cache
        / f"recogniser_{subject.training_slug}_{result_cache.fingerprint(dataset_fingerprint(images), recipe)}.npz"
    )
    if (known := result_cache.load_arrays(path)) is not None:
        result_cache.print_first_time(f"Using the recogniser in {path}")
        return known
    result_cache.print_first_time(f"Training a recogniser of {subject.training_title}, kept in {path}")
    pixels, labels = images.read(evenly_spaced(len(images), MOST_TRAINING_IMAGES))
    x, y = (tensor.to(subject.model.device) for tensor in (from_uint8(pixels), labels))
    network = recogniser.train_recogniser(x, y, num_classes=len(images.classes or ()), seed=0)
    state = {name: weight.cpu().numpy() for name, weight in network.state_dict().items()}
    result_cache.save_arrays(path, state)
    return state


def dataset_fingerprint(images: Images) -> str:
    """A fingerprint of the set: its size, its classes, and a few of its images."""
    pixels, labels = images.read(evenly_spaced(len(images), FINGERPRINT_IMAGES))
    return result_cache.fingerprint(len(images), images.classes, np.asarray(pixels), np.asarray(labels))


def extract(images: Images, numbers: Sequence[int], extractor: Extractor) -> Iterator[Tensor]:
    """The features of the images of these numbers, batch by batch."""
    wanted = [list(numbers[first : first + FEATURE_BATCH]) for first in range(0, len(numbers), FEATURE_BATCH)]
    with closing(in_order(images, wanted)) as reads:
        for pixels, _ in reads:
            yield extractor.see(pixels).features


def reference_features(
    images: Images, numbers: Sequence[int], features: Features, extractor: Extractor, *, title: str, cache: Path
) -> Iterable[Tensor]:
    """The features of the images of these numbers, in parts (n, D), on the leader; all processes must call it.

    Cheap ones are computed when iterated over. Costly ones are computed by all processes together, and cached.
    """
    if extractor.fingerprint is None:
        return extract(images, numbers, extractor)
    key = result_cache.fingerprint(dataset_fingerprint(images), extractor.fingerprint, list(numbers))
    path = cache / f"features_{features.name}_{slug(title)}_{len(numbers)}_{key}.npz"
    known = result_cache.load_arrays(path) if distributed.is_leader() else None
    if distributed.all_gather(known is not None)[0]:
        result_cache.print_first_time(f"Using the features of {len(numbers)} images of {title} in {path}")
        return [] if known is None else [torch.from_numpy(known["features"])]
    result_cache.print_first_time(f"Computing the features of {len(numbers)} images of {title}, kept in {path}")
    mine = list(extract(images, distributed.shard(numbers), extractor))
    parts = [part for share in distributed.all_gather(mine) for part in share]
    if distributed.is_leader():
        result_cache.save_arrays(path, {"features": torch.cat(parts).numpy()})
    return parts
