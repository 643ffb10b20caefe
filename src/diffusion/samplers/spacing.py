"""Which levels of a process a sampler walks through."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from diffusion.process.process import Process
from diffusion.process.respacing import Steps


class Spacing(ABC):
    """Sees the process, and names `steps` of its levels."""

    @property
    def name(self) -> str:
        """A part of the name of what was drawn with it."""
        return type(self).__name__.removesuffix("Spacing").lower()

    @abstractmethod
    def t(self, process: Process, steps: Steps) -> Tensor:
        """The t of the levels, from noise on, (K,). ValueError for steps that the process does not have."""


class EvenSpacing(Spacing):
    """Evenly in t, the first and the last step among them.

    On a chain also several counts, one for each of so many equal sections ("10,15,20"), or the one integer stride that
    gives exactly 50 steps ("ddim50"), as in the released code (see `process.respacing`).
    """

    name = ""  # what everyone expects

    def t(self, process: Process, steps: Steps) -> Tensor:
        return process.evenly(steps)


class TrailingSpacing(Spacing):
    """Evenly in t, counted from pure noise: the last step always, the first only if all are taken (Lin et al. 2024)."""

    def t(self, process: Process, steps: Steps) -> Tensor:
        count = whole_number(process, steps)
        return process.t((1 - torch.arange(count, dtype=torch.float64) / count - 1e-9).clamp(min=0))


class LogSNRSpacing(Spacing):
    """Evenly in log-SNR between the process's first and last level (Lu et al. 2022).

    On a chain it takes the nearest steps: one that is nearest to two of them counts once.
    """

    def t(self, process: Process, steps: Steps) -> Tensor:
        count, all_t = whole_number(process, steps), process.evenly(None)
        log_snr = process.level(all_t).log_snr
        finite = log_snr[log_snr.isfinite()]
        grid = torch.linspace(finite.min().item(), finite.max().item(), count, dtype=torch.float64)
        # The first is that of the process, which may be pure noise.
        return torch.cat([all_t[:1], process.nearest(grid[1:])]).unique_consecutive()


def whole_number(process: Process, steps: Steps) -> int:
    """`steps` as a number that the process has."""
    count = len(process.evenly(None)) if steps is None else steps
    count = int(count) if isinstance(count, str) and count.isdigit() else count
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"sampler.steps={steps} must be a number of 1 or more; sampler/spacing=even reads others")
    process.evenly(count)
    return count
