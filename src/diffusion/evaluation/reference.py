"""The features of real images, computed once and kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.data.images import Images
from diffusion.data.readers import in_order
from diffusion.evaluation import result_cache
from diffusion.evaluation.features import Extractor, Features, dataset_fingerprint
from diffusion.evaluation.subject import slug

BATCH = 64


def extract(images: Images, numbers: Sequence[int], extractor: Extractor) -> Iterator[Tensor]:
    """The features of the images of these numbers, batch by batch."""
    wanted = [list(numbers[first : first + BATCH]) for first in range(0, len(numbers), BATCH)]
    with closing(in_order(images, wanted)) as reads:
        for pixels, _ in reads:
            yield extractor.see(pixels).features


def reference_features(
    images: Images, numbers: Sequence[int], features: Features, extractor: Extractor, *, title: str, cache: Path
) -> Iterable[Tensor]:
    """The features of the images of these numbers, in parts (n, D), for the process that leads; all must call it.

    Cheap ones are computed as they are taken. Others are computed by all processes together, and kept.
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
    whole = [part for share in distributed.all_gather(mine) for part in share]
    if distributed.is_leader():
        result_cache.save_arrays(path, {"features": torch.cat(whole).numpy()})
    return whole
