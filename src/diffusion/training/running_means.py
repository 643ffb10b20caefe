"""Means of what is logged, from one logged step to the next."""

from collections.abc import Mapping

import torch
from torch import Tensor

BINS = ("", "_q0", "_q1", "_q2", "_q3")  # all images, and those of each quarter of the process


class RunningMeans:
    """Means since the last `read`, stored as sums and counts, which add up over steps.

    They stay on the device of what is added, so that only `read` waits for it.
    """

    def __init__(self) -> None:
        self._tallies: dict[str, Tensor] = {}  # a term's (2, 5) sums and counts by bin, a value's (2, 1)

    def add(self, terms: Mapping[str, Tensor], quarter: Tensor, weights: Tensor) -> None:
        """Add each loss term (N,) times its weight (N,), over all and by the `quarter` of the way (N,), 0 to 3."""
        bins = torch.arange(-1, 4, device=quarter.device)
        in_bin = (bins == quarter[:, None]) | (bins < 0)
        for name, term in terms.items():
            weighted = (term.detach().float() * weights)[:, None]
            # `where` rather than a product: a NaN spoils its own quartile only.
            self._tally(name, torch.where(in_bin, weighted, 0).sum(0), in_bin.sum(0))

    def add_value(self, name: str, value: Tensor | float) -> None:
        """Add one number of a whole step, such as the gradient's norm."""
        total = value.detach().reshape(1) if isinstance(value, Tensor) else torch.tensor([value], dtype=torch.float64)
        self._tally(name, total, torch.ones_like(total))

    def read(self) -> dict[str, float]:
        """The mean of every name, `name_q0` to `name_q3` where a quartile had images; then all are reset."""
        means = {
            name + suffix: total / count
            for name, tally in self._tallies.items()
            for suffix, total, count in zip(BINS, *tally.tolist(), strict=False)
            if count > 0
        }
        self._tallies.clear()
        return means

    def state_dict(self) -> dict[str, Tensor]:
        return {name: tally.cpu() for name, tally in self._tallies.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, tally in state.items():
            if tally.shape not in ((2, len(BINS)), (2, 1)):
                raise ValueError(f"the mean of {name} is {(*tally.shape,)}, needed (2, {len(BINS)}) or (2, 1)")
        self._tallies = dict(state)

    def _tally(self, name: str, sums: Tensor, counts: Tensor) -> None:
        tally = torch.stack([sums, counts.to(sums)])
        if name in self._tallies:
            # A tally that comes out of a checkpoint is on the CPU until now.
            tally = self._tallies[name].to(tally.device) + tally
        self._tallies[name] = tally
