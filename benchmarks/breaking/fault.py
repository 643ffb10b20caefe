"""What happens to a run, once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breaking.life import Life, Pace


class Fault:
    """Strikes a run of `processes` with `settings` of its own; afterwards the same command goes on, or itself."""

    processes = 1
    settings: tuple[str, ...] = ()
    goes_on = False
    may_lack_lines = False

    @contextmanager
    def prepared(self, place: Path) -> Iterator[None]:
        """The folder in which all its runs lie, as they need it."""
        yield

    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
        """False if the run was over before."""
        raise NotImplementedError

    def repair(self, life: Life) -> str:
        """Put right what was struck; what is wrong with what it left, nothing if all is well."""
        return ""
