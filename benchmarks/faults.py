"""What a run loses that is killed and started again: python benchmarks/faults.py [--kills 100]

Breaks a small run at random moments, starts the same command again, and compares its end with that of an unbroken run:

at any moment    kill -9 of train.py, the moment drawn evenly over the run's steps, its beginning and its end included
while saving     kill -9 while a half-written checkpoint lies in the folder
of two           kill -9 of either of two processes under `torchrun --max-restarts=3`, which starts them again by itself
SIGTERM          to torchrun, as a scheduler sends it; then the same command again
full disk        at a random moment nearly all room is taken; once the run has ended it is given back (as root only)
frozen readers   the processes that read images are stopped; SIGTERM must save and end the run all the same
frozen service   W&B's is stopped; the run must train to its end, and leave within a minute and a half

Equal means to the bit: the weights, every average, the optimizer, the history of the schedule sampler, and the lines
of metrics.jsonl but for speed and memory (a full disk may cost lines, but harms no file); with outcome.json finished
and no temporary file left. A lost step is one that had to be made again. One that ended otherwise is kept and named.
Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from breaking.equality import difference
from breaking.fault import Fault
from breaking.frozen import FrozenReaders, FrozenService
from breaking.full_disk import FullDisk
from breaking.kills import AtAnyMoment, OfTwo, Terminated, WhileSaving
from breaking.life import STEPS, Life, Pace, lines, unbroken

FAULTS: dict[str, Fault] = {
    "at any moment": AtAnyMoment(), "while saving": WhileSaving(), "of two": OfTwo(), "SIGTERM": Terminated(),
    "full disk": FullDisk(), "frozen readers": FrozenReaders(), "frozen service": FrozenService(),
}  # fmt: skip


class Fate(NamedTuple):
    """How a run ended that was broken off once: what is wrong, the steps made again, the seconds to its end."""

    wrong: str
    lost: int
    seconds: float


def fate(place: Path, whole: Path, fault: Fault, pace: Pace, chance: random.Random) -> Fate | None:
    """None if the run came to its end before its fault."""
    life = Life(place, fault.processes, fault.settings)
    if not fault.strike(life, pace, chance):
        code = life.ended()
        return Fate(f"exit code {code} before its fault", 0, 0) if code else None
    wrong = fault.repair(life)
    made, begun = max((int(line["step"]) for line in lines(life.run)), default=0), time.monotonic()
    code = (life if fault.goes_on else Life(place, fault.processes, fault.settings)).ended()
    seconds = time.monotonic() - begun
    log = life.run / "train.log"
    said = log.read_text() if log.exists() else ""
    taken_up = [STEPS] if "Nothing to train" in said else [0, *map(int, re.findall(r"Resuming at step (\d+)", said))]
    wrong = wrong or (f"exit code {code}" if code != 0 else "")
    wrong = wrong or difference(life.run, whole / "runs" / "run", may_lack_lines=fault.may_lack_lines)
    return Fate(wrong, max(0, made - taken_up[-1]), seconds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of train.py, half of them while it saves")
    parser.add_argument("--restarts", type=int, default=20, help="kills of one of two processes under torchrun")
    parser.add_argument("--stops", type=int, default=20, help="SIGTERMs to torchrun")
    parser.add_argument("--full", type=int, default=0, help="disks that fill up; needs root")
    parser.add_argument("--frozen", type=int, default=10, help="readers that freeze")
    parser.add_argument("--silent", type=int, default=3, help="services of W&B that freeze, 30 seconds each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", help="where to run; without it, a temporary folder that goes again if all is well")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    place = Path(chosen.place or tempfile.mkdtemp(prefix="faults-"))
    numbers = (
        chosen.kills - chosen.kills // 2, chosen.kills // 2, chosen.restarts, chosen.stops,
        chosen.full, chosen.frozen, chosen.silent,
    )  # fmt: skip
    wanted = {name: number for name, number in zip(FAULTS, numbers, strict=True) if number}
    print("                runs  equal  lost steps: mean  most  seconds to the end", flush=True)
    told = {}
    for name, number in wanted.items():
        folder = place / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        with FAULTS[name].prepared(folder):
            told[name] = tried(folder, name, number, chosen.seed)
    print(json.dumps(told))
    if any(row["equal"] < row["runs"] for row in told.values()):
        sys.exit(1)
    if not chosen.place:
        shutil.rmtree(place)


def tried(place: Path, name: str, number: int, seed: int) -> dict[str, Any]:
    """The row of one kind of fault, printed."""
    fault, whole, chance = FAULTS[name], place / "unbroken", random.Random(seed)
    pace = unbroken(whole, fault.processes, fault.settings)
    fates: list[Fate] = []
    while len(fates) < number:
        broken = place / f"{len(fates):03}"
        shutil.rmtree(broken, ignore_errors=True)
        found = fate(broken, whole, fault, pace, chance)
        if found is None:
            continue
        fates.append(found)
        if found.wrong:
            print(f"{broken}: {found.wrong}", flush=True)
        else:
            shutil.rmtree(broken)
    lost, sound = [one.lost for one in fates], sum(not one.wrong for one in fates)
    seconds = statistics.median(one.seconds for one in fates)
    print(
        f"{name:14}  {number:4}  {sound:5}  {statistics.mean(lost):16.1f}  {max(lost):4}  {seconds:18.1f}", flush=True
    )
    return {"runs": number, "equal": sound, "lost": round(statistics.mean(lost), 2), "most_lost": max(lost),
            "seconds": round(seconds, 2)}  # fmt: skip


if __name__ == "__main__":
    main()
