"""Drawing the images to measure, as uint8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from diffusion.compute import distributed
from diffusion.evaluation.subject import Subject
from diffusion.inference.image_files import Request, check_finite, draw_batches
from diffusion.inference.prompts import Prompts
from diffusion.pictures.pixels import to_uint8
from diffusion.samplers.sampler import Sampler


def draw_shard(subject: Subject, sampler: Sampler, prompts: Prompts, *, num_images: int) -> Iterator[Tensor]:
    """This process's share of the images, uint8 (N, C, H, W), batch by batch; image i depends on the seed and i."""
    request = Request(num_images, subject.batch_size, subject.seed, prompts)
    mine, quiet = len(distributed.shard(range(num_images))), None if distributed.is_leader() else True
    with tqdm(total=mine, unit="image", disable=quiet, leave=False) as bar:
        for batch in draw_batches(request, subject.model, sampler):
            check_finite(batch, sampler)
            yield to_uint8(batch)
            bar.update(len(batch))


def draw_all(subject: Subject, sampler: Sampler, prompts: Prompts, *, num_images: int) -> Tensor:
    """The images of all processes, uint8 (num_images, C, H, W) on the CPU; all must call it."""
    mine = [batch.cpu() for batch in draw_shard(subject, sampler, prompts, num_images=num_images)]
    return torch.cat([batch for batches in distributed.all_gather(mine) for batch in batches])


def sampler_settings(sampler: Sampler) -> dict[str, Any]:
    """What a result was drawn by, in plain values."""
    return {"sampler": {"kind": type(sampler).__name__, **sampler.settings}}
