"""The classes of images whose labels are stored as numbers or as names."""

import numpy as np
import torch
from torch import Tensor

from diffusion.data.images import UNLABELLED
from diffusion.runs.printable import printable

MOST_CLASSES = 100_000  # a number beyond is an identifier

Classes = tuple[str, ...] | None


def classes_from(values: np.ndarray, place: str) -> tuple[Tensor, Classes]:
    """The labels, int64 (N,), and what the classes are called, of values (N,): whole numbers from 0, or names.

    None are the classes if all are -1, as where a test split hides its labels. ValueError if they are no classes.
    """
    if values.dtype.kind in "UT":
        names, numbers = np.unique(values, return_inverse=True)
        return torch.from_numpy(numbers), tuple(printable(str(name)) for name in names)
    if values.dtype.kind not in "biu":
        raise ValueError(
            f"{place} holds {values.dtype}, such as {values[0]!s:.40}, which are no classes: whole numbers from 0, or "
            "names; name others: data.labels=..., or set data.labels=none"
        )
    least, most = int(values.min()), int(values.max())
    if least == most == UNLABELLED:
        return torch.full((len(values),), UNLABELLED), None
    if least < 0 or most >= MOST_CLASSES:
        raise ValueError(
            f"{place} holds numbers from {least} to {most}, and classes are 0, 1, ..., at most {MOST_CLASSES:,}; name "
            "others: data.labels=..., or set data.labels=none"
        )
    return torch.from_numpy(values.astype(np.int64)), tuple(map(str, range(most + 1)))
