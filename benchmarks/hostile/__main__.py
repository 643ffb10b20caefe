"""What hostile files and command lines do: python benchmarks/hostile [KIND ...] [--seed 0] [--only TEXT]

KIND is one of the modules beside this file; all of them, if none is named. Each makes cases, which `runner.py` tries.
Prints how many of each kind were tried, refused in one line, accepted rightly, and failed, which are named with what
they printed; ends with one line of JSON, and with 1 if any failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", WANDB_MODE="disabled")  # before torch is imported

from runner import SECONDS, Case, Ended, import_what_commands_import, try_case

OTHERS = ("__main__", "runner", "damage", "odd_images", "spoiling")
KINDS = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in OTHERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=0, help="of the cases that are drawn by chance")
    parser.add_argument("--only", default="", help="only cases with this text in their name")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="a case may take; more on a busy machine")
    parser.add_argument("--show", action="store_true", help="show what each case printed last")
    chosen = parser.parse_args()
    if unknown := set(chosen.kinds) - set(KINDS):
        parser.error(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    import_what_commands_import()
    rows: dict[str, list[Ended]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        for case in cases(chosen.kinds or KINDS, Path(place), chosen.seed):
            if chosen.only in case.name:
                ended = try_case(case, Path(place) / "case" / "here", chosen.seconds)
                rows[case.kind].append(ended)
                say(case, ended, chosen.show)
    print_table(rows)


def cases(kinds: list[str], place: Path, seed: int) -> Iterator[Case]:
    """All cases of some kinds; `place` is for what several of them share."""
    for kind in kinds:
        (place / kind).mkdir()
        yield from importlib.import_module(kind).cases(place / kind, seed)


def say(case: Case, ended: Ended, show: bool) -> None:
    if ended.failed:
        print(f"FAILED {case.kind}, {case.name}: {ended.end}\n    {' '.join(case.words)}", flush=True)
    if show or ended.failed:
        print(f"    {case.name}: {ended.said.strip()[-500:]!r}", flush=True)


def print_table(rows: dict[str, list[Ended]]) -> None:
    """A line a kind; exits with 1 if any case failed."""
    print(f"{'':28} tried  refused in one line  accepted rightly  failed  slowest  most memory")
    for kind, all_ended in rows.items():
        refused, accepted = (sum(each.end == end for each in all_ended) for end in ("refused", "accepted"))
        failed = sum(each.failed for each in all_ended)
        slowest, most = max(each.seconds for each in all_ended), max(each.memory for each in all_ended)
        print(
            f"{kind:28} {len(all_ended):5}  {refused:19}  {accepted:16}  {failed:6}  {slowest:5.1f} s  {most:8.2f} GB"
        )
    everything = [each for all_ended in rows.values() for each in all_ended]
    failed = sum(each.failed for each in everything)
    print(json.dumps({"tried": len(everything), "failed": failed}))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
