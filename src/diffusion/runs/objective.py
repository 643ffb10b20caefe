"""The number that a run is compared by, as it is called in metrics.jsonl."""

from __future__ import annotations

import re
from collections.abc import Collection


def require_logged(name: str | None, logged: Collection[str]) -> None:
    """ValueError if a number of that name is wanted, and none of those that a run logs is called so."""
    # A quartile has no mean where it had no images.
    if name is None or name in logged or re.sub(r"_q[0-3]$", "", name) in logged:
        return
    known = ", ".join(sorted(set(logged) - {"step", "images"})) or "nothing"
    raise ValueError(
        f"objective={name} was never logged; this run logged {known}; "
        "what is measured needs 'train/evaluations=[...]' and train.evaluate_every"
    )
