"""What progress is watched by: a terminal, and a clock that the test moves."""

import io
from collections.abc import Callable
from types import ModuleType

import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def moved_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> Callable[[float], None]:
    """The clock that `module` reads from now on: called with 10, it lets ten seconds go by."""
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move
