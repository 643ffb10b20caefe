"""The mean over some images of a set, and its standard error."""

import math

from torch import Tensor

from diffusion.compute import distributed
from diffusion.evaluation.subject import Subject, evenly_spaced


def estimate(values: Tensor) -> tuple[float, float]:
    """The mean of values (N,), N > 1, and its standard error as an estimate of the mean over the distribution."""
    values = values.double()
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


def require_error(num_images: int | None) -> int | None:
    """`num_images`, of which a standard error can be told; ValueError otherwise."""
    if num_images is not None and num_images < 2:
        raise ValueError(f"num_images={num_images} has no standard error; set evaluation.num_images=2 or more")
    return num_images


def require_unguided(subject: Subject) -> None:
    """Raise ValueError where guidance moves what the model expects, which then is that of no probability."""
    if subject.model.guidance.name:
        raise ValueError("what is guided has no density, nor a bound of it; leave guidance out")


def measured_numbers(subject: Subject, num_images: int | None) -> list[int]:
    """The images to measure, by all processes together, evenly spread; ValueError if there are not so many."""
    there = len(subject.images)
    if there < 2 or (num_images or 0) > there:
        raise ValueError(
            f"{subject.title} has {there} images, not {num_images or 2}; "
            + (f"set evaluation.num_images={there}, or leave it out" if there > 1 else "give another data=...")
        )
    numbers = evenly_spaced(there, there if num_images is None else num_images)
    if len(numbers) < distributed.world_size():
        raise ValueError(
            f"{len(numbers)} images are too few for {distributed.world_size()} processes; start fewer of them"
        )
    return numbers
