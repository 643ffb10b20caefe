"""What a training run measured: running means between two logged steps, and the file that keeps them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

console = logging.getLogger(__name__)

BINS = ("", "_q0", "_q1", "_q2", "_q3")  # all images, and those of each quarter of the process


class Averages:
    """Means since the last `read`, kept as sums and counts, which add across steps and across processes.

    They stay on the device of what is added, so that only `read` waits for it.
    """

    def __init__(self) -> None:
        self._tallies: dict[str, Tensor] = {}  # a term's (2, 5) sums and counts by bin, a value's (2, 1)

    def add(self, terms: Mapping[str, Tensor], t: Tensor, steps: int, weights: Tensor) -> None:
        """Counts each loss term (N,) times its weight (N,), over all and by the quartile floor(4 t / T) of t (N,)."""
        bins = torch.arange(-1, 4, device=t.device)
        in_bin = (bins == (4 * t // steps)[:, None]) | (bins < 0)
        for name, term in terms.items():
            weighted = (term.detach().float() * weights)[:, None]
            # `where` rather than a product: a NaN spoils its own quartile only.
            self._tally(name, torch.where(in_bin, weighted, 0).sum(0), in_bin.sum(0))

    def add_value(self, name: str, value: Tensor | float) -> None:
        """Counts one number that belongs to a whole step, such as the gradient's norm."""
        total = value.detach().reshape(1) if isinstance(value, Tensor) else torch.tensor([value], dtype=torch.float64)
        self._tally(name, total, torch.ones_like(total))

    def read(self) -> dict[str, float]:
        """The mean of every name, `name_q0` to `name_q3` where a quartile had images; then starts anew."""
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
        self._tallies = dict(state)

    def _tally(self, name: str, sums: Tensor, counts: Tensor) -> None:
        tally = torch.stack([sums, counts.to(sums)])
        if name in self._tallies:
            # A tally that comes out of a checkpoint is on the CPU until now.
            tally = self._tallies[name].to(tally.device) + tally
        self._tallies[name] = tally


class MetricsFile:
    """One line of JSON for every logged step: {"step": 200, "images": 25600, "mse": 0.031, ...}.

    Numbers that are not finite are written as Python's `json` reads them: NaN, Infinity, -Infinity.
    A disk that is full or gone costs lines and one warning, never the training.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = False

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends one line, which is out of this process's hands on return."""
        line = json.dumps({"step": step, **values}) + "\n"
        try:
            with self.path.open("a") as file:
                # A failed write may have left half a line, which the next must not continue.
                file.write("\n" + line if self._failed else line)
        except OSError as error:
            self._warn(error)

    def rewind(self, step: int) -> None:
        """Drops what was logged after `step`, as a run resumed from there logs it again."""
        try:
            if self.path.exists():
                kept = [line for line in self.read(self.path) if line["step"] <= step]
                replace_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        except OSError as error:
            self._warn(error)

    @staticmethod
    def read(path: Path) -> list[dict[str, float]]:
        """The lines of a file in the order they were written; a line torn by a crash is left out."""
        lines = []
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
        return [line for line in lines if isinstance(line, dict)]

    def _warn(self, error: OSError) -> None:
        if not self._failed:
            console.warning("Training goes on, but %s misses lines: %s", self.path, error)
        self._failed = True


def replace_text(path: Path, text: str) -> None:
    """Writes a whole file or, if that fails half-way, leaves the old one as it was."""
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
