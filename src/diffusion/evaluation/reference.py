"""The features of real images, computed once and kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.data import Images
from diffusion.data.reading import in_order
from diffusion.evaluation import result_cache
from diffusion.evaluation.features import Extractor, Features, contents
from diffusion.evaluation.subject import slug

BATCH = 64


def seen(images: Images, numbers: Sequence[int], extractor: Extractor) -> Iterator[Tensor]:
    """The features of the images of these numbers, batch by batch."""
    wanted = [list(numbers[first : first + BATCH]) for first in range(0, len(numbers), BATCH)]
    with closing(in_order(images, wanted)) as reads:
        for pixels, _ in reads:
            yield extractor.see(pixels).features


def parts(
    images: Images, numbers: Sequence[int], features: Features, extractor: Extractor, *, title: str, cache: Path
) -> Iterable[Tensor]:
    """The features of the images of these numbers, in parts (n, D), for the process that leads; all must call it.

    Cheap ones are computed as they are taken. Others are computed by all processes together, and kept.
    """
    if extractor.fingerprint is None:
        return seen(images, numbers, extractor)
    key = result_cache.fingerprint(contents(images), extractor.fingerprint, list(numbers))
    path = cache / f"features_{features.name}_{slug(title)}_{len(numbers)}_{key}.npz"
    known = result_cache.read(path) if distributed.leads() else None
    if distributed.gathered(known is not None)[0]:
        result_cache.say(f"Using the features of {len(numbers)} images of {title} in {path}")
        return [] if known is None else [torch.from_numpy(known["features"])]
    result_cache.say(f"Computing the features of {len(numbers)} images of {title}, kept in {path}")
    mine = list(seen(images, distributed.share(numbers), extractor))
    whole = [part for share in distributed.gathered(mine) for part in share]
    if distributed.leads():
        result_cache.keep(path, {"features": torch.cat(whole).numpy()})
    return whole
