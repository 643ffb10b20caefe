"""Which of T steps a sampler walks through."""

from collections.abc import Sequence

Steps = int | str | Sequence[int] | None


def kept_steps(total: int, spacing: Steps) -> list[int]:
    """The steps of 0..total-1 to keep, rising.

    None keeps all. 50 or "50" keeps 50 evenly spaced ones, the first and the last among them. "10,15,20" cuts the
    steps into three equal sections and keeps so many in each. "ddim50" takes the one integer stride that gives
    exactly 50 steps, starting at 0 (Song et al. 2021, section 4.2).
    """
    if spacing is None:
        return list(range(total))
    if isinstance(spacing, str) and spacing.startswith("ddim"):
        return strided(total, parse_count(spacing.removeprefix("ddim"), spacing))
    if isinstance(spacing, int):
        counts = [spacing]
    else:
        parts = spacing.split(",") if isinstance(spacing, str) else spacing
        counts = [parse_count(part, spacing) for part in parts]
    return sectioned(total, counts)


def parse_count(text: str | int, spacing: Steps) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"cannot read sampler.steps={spacing!r}: give a number (50), one per section ("
            "'sampler.steps=\"10,15,20\"'), or ddim50"
        ) from None


def strided(total: int, wanted: int) -> list[int]:
    for stride in range(1, total):
        kept = list(range(0, total, stride))
        if len(kept) == wanted:
            return kept
    possible = sorted({-(-total // stride) for stride in range(1, total)}, key=lambda n: abs(n - wanted))[:3]
    raise ValueError(
        f"no integer stride through {total} steps gives exactly {wanted}; the nearest that do are "
        + ", ".join(f"sampler.steps=ddim{n}" for n in sorted(possible))
    )


def sectioned(total: int, counts: Sequence[int]) -> list[int]:
    """counts[i] steps spread evenly over section i of len(counts) equal ones; the first sections take the remainder."""
    size, longer = divmod(total, len(counts))
    kept: list[int] = []
    start = 0
    for i, count in enumerate(counts):
        length = size + (i < longer)
        if not 0 <= count <= length:
            raise ValueError(
                f"cannot take {count} of {length} steps; sampler.steps must be at most {length}"
                + ("" if len(counts) == 1 else f" in section {i + 1} of {len(counts)}")
            )
        kept += spread_evenly(start, length, count)
        start += length
    return kept


def spread_evenly(start: int, length: int, count: int) -> list[int]:
    """`count` steps from `start`, the first and the last of `length` among them.

    The position is a running sum, rounded half to even: the sum's rounding decides ties as the released code does
    (so 21 of 1000 steps keep 499, not 500).
    """
    stride = (length - 1) / (count - 1) if count > 1 else 1.0
    position, kept = 0.0, []
    for _ in range(count):
        kept.append(start + round(position))
        position += stride
    return kept
