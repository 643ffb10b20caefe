"""What a run loses that is killed and started again: python benchmarks/faults.py [--kills 100]

Kills a small run at random moments, starts the same command again, and compares its end with that of an unbroken run:

at any moment    kill -9 of train.py, the moment drawn evenly over the run's steps, its beginning and its end included
while saving     kill -9 while a half-written checkpoint lies in the folder
of two           kill -9 of either of two processes under `torchrun --max-restarts=3`, which starts them again by itself
SIGTERM          to torchrun, as a scheduler sends it; then the same command again

Equal means to the bit: the weights, every average, the optimizer, the history of the schedule sampler, and the lines
of metrics.jsonl but for speed and memory; with outcome.json finished and no temporary file left. A lost step is one
that had to be made again. One that ended otherwise is kept and named. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import runpy
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch._dynamo  # what train.py imports is imported once, for all lives

import diffusion.config.build  # noqa: F401
from diffusion.runs import checkpoints, status
from diffusion.runs.metrics import MetricsFile

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
STEPS = 40
SETTINGS = (
    "name=run", "device=cpu", "logger.mode=disabled", "data.image_size=8", "diffusion.steps=8", "model.dropout=0.1",
    "model.base_channels=8", "model.channel_mult=[1,2]", "model.norm_groups=4", "model.attention_resolutions=[4]",
    "train=debug", f"train.max_steps={STEPS}", f"train.anneal_steps={2 * STEPS}", "train.save_every=3",
    "train.preview.every=0", "train/schedule_sampler=loss_second_moment", "train.schedule_sampler.history=2",
)  # fmt: skip
UNEQUAL = ("images_per_second", "memory_gb", "tflops", "share_of_peak")  # speed and memory
PATIENCE = 300  # seconds for one life of a run


class Life:
    """One start of the command in `place`, alone or as two processes under torchrun."""

    def __init__(self, place: Path, processes: int) -> None:
        self.run = place / "runs" / "run"
        place.mkdir(exist_ok=True)
        with (place / "said.txt").open("a") as said:
            if processes == 1:
                self.pid = forked(place, said.fileno())
            else:
                words = ("--standalone", f"--nproc_per_node={processes}", "--max-restarts=3", str(TRAIN), *SETTINGS)
                command = [sys.executable, "-m", "torch.distributed.run", *words]
                self.pid = subprocess.Popen(command, cwd=place, stdout=said, stderr=said).pid
        self.code: int | None = None

    @property
    def alive(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def ended(self) -> int | None:
        """The exit code; None if it had to be ended."""
        self.wait(lambda: False, PATIENCE)
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        return self.code

    def wait(self, until: Callable[[], bool], limit: float = PATIENCE) -> bool:
        """Wait for something that happens while it lives; False if it ended before, or after `limit` seconds."""
        end = time.monotonic() + limit
        while self.alive and time.monotonic() < end:
            if until():
                return True
            time.sleep(0.0005)
        return False

    def worker(self, rank: int) -> int | None:
        """The process of one rank under torchrun, while it lives."""
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            try:
                if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
                    return int(child)
            except OSError:
                continue
        return None


def forked(place: Path, said: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code: Any = 1
    try:
        os.chdir(place)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = [str(TRAIN), *SETTINGS]
        runpy.run_path(str(TRAIN), run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else print(end.code, file=sys.stderr) or 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def lines(run: Path) -> list[dict[str, float]]:
    """What a run logged, without what differs between two runs of the same."""
    path = run / "metrics.jsonl"
    kept = MetricsFile.read(path) if path.exists() else []
    return [{name: value for name, value in line.items() if name not in UNEQUAL} for line in kept]


class Pace(NamedTuple):
    """Seconds of an unbroken run: from its folder to its first line, for a step, from its last line to its end."""

    first: float
    step: float
    last: float


def unbroken(place: Path, processes: int) -> Pace:
    life, times = Life(place, processes), []
    for sign in (life.run.exists, lambda: bool(lines(life.run)), lambda: len(lines(life.run)) == STEPS):
        life.wait(sign)
        times.append(time.monotonic())
    if life.ended() != 0:
        sys.exit(f"the unbroken run failed: {(place / 'said.txt').read_text()}")
    return Pace(times[1] - times[0], (times[2] - times[1]) / (STEPS - 1), time.monotonic() - times[2])


def any_moment(life: Life, pace: Pace, chance: random.Random) -> bool:
    """Wait for a moment that is drawn evenly over the steps of a run; False if the run was over before."""
    step, part = divmod(chance.uniform(0, STEPS + 1), 1)
    seconds = part * (pace.first if step == 0 else pace.last if step == STEPS else pace.step)
    path = life.run / "metrics.jsonl"
    reached = life.wait(lambda: path.read_bytes().count(b"\n") >= step if path.exists() else not step)
    life.wait(lambda: False, seconds)
    return reached and life.alive


def killed_at_any_moment(life: Life, pace: Pace, chance: random.Random) -> bool:
    if not any_moment(life, pace, chance):
        return False
    os.kill(life.pid, signal.SIGKILL)
    return life.ended() == -signal.SIGKILL


def killed_while_saving(life: Life, pace: Pace, chance: random.Random) -> bool:
    """Stop it at a random moment of a random save; kill it if it was stopped in time."""
    folder, after = life.run / "checkpoints", chance.randrange(STEPS)

    def half_written() -> bool:
        return any(int(path.name[5:13]) > after for path in folder.glob("step_*.partial.pt"))

    while life.wait(half_written):
        time.sleep(chance.uniform(0, 0.005))
        os.kill(life.pid, signal.SIGSTOP)
        time.sleep(0.001)
        if half_written():
            os.kill(life.pid, signal.SIGKILL)
            return life.ended() == -signal.SIGKILL
        os.kill(life.pid, signal.SIGCONT)
    return False


def one_of_two_killed(life: Life, pace: Pace, chance: random.Random) -> bool:
    rank = chance.randrange(2)
    pid = life.worker(rank) if any_moment(life, pace, chance) else None
    if pid is None:
        return False
    os.kill(pid, signal.SIGKILL)
    return True


def stopped(life: Life, pace: Pace, chance: random.Random) -> bool:
    if not any_moment(life, pace, chance):
        return False
    os.kill(life.pid, signal.SIGTERM)
    return life.ended() != 0


class Fate(NamedTuple):
    """How a run ended that was broken off once: what is wrong, the steps made again, the seconds to its end."""

    wrong: str
    lost: int
    seconds: float


def fate(place: Path, whole: Path, fault: Callable[..., bool], pace: Pace, chance: random.Random) -> Fate | None:
    """None if the run was over before its fault."""
    by_itself = fault is one_of_two_killed
    life = Life(place, 2 if fault in (one_of_two_killed, stopped) else 1)
    if not fault(life, pace, chance):
        life.ended()
        return None
    made, begun = max((int(line["step"]) for line in lines(life.run)), default=0), time.monotonic()
    code = (life if by_itself else Life(place, 1 if fault in ONE else 2)).ended()
    seconds = time.monotonic() - begun
    log = life.run / "train.log"
    said = log.read_text() if log.exists() else ""
    taken_up = [STEPS] if "has all its steps" in said else [0, *map(int, re.findall(r"Resuming at step (\d+)", said))]
    wrong = f"exit code {code}" if code != 0 else difference(life.run, whole / "runs" / "run")
    return Fate(wrong, max(0, made - taken_up[-1]), seconds)


ONE = (killed_at_any_moment, killed_while_saving)


def difference(run: Path, whole: Path) -> str:
    """What of a run is not as in the unbroken one; nothing if it is equal."""
    left = [path.name for path in run.rglob("*") if re.search(r"partial|tmp|damaged", path.name)]
    if left:
        return f"left {', '.join(left)}"
    told = status.read_status(run)
    if (told.get("state"), told.get("step")) != ("finished", STEPS):
        return f"outcome {told}"
    if lines(run) != lines(whole):
        return "metrics.jsonl differs"
    # Which checkpoints stay before the last one depends on the disk: one that waits gives way to a newer one.
    last = f"step_{STEPS:08}.pt"
    names = [
        sorted(path.name for path in folder.rglob("*") if path.suffix != ".pt" or path.name == last)
        for folder in (run, whole)
    ]
    if names[0] != names[1]:
        return f"files {names[0]} instead of {names[1]}"
    states = [checkpoints.load_checkpoint(folder) for folder in (run, whole)]
    unlike = [part for part in states[1] if not equal(states[0].get(part), states[1][part])]
    return f"{', '.join(unlike)} differ" if unlike else ""


def equal(one: Any, other: Any) -> bool:
    if isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(other, dict):
        return isinstance(one, dict) and list(one) == list(other) and all(equal(one[key], other[key]) for key in other)
    if isinstance(other, list):
        return isinstance(one, list) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


FAULTS: dict[str, Callable[..., bool]] = {
    "at any moment": killed_at_any_moment, "while saving": killed_while_saving,
    "of two": one_of_two_killed, "SIGTERM": stopped,
}  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of train.py, half of them while it saves")
    parser.add_argument("--restarts", type=int, default=20, help="kills of one of two processes under torchrun")
    parser.add_argument("--stops", type=int, default=20, help="SIGTERMs to torchrun")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", help="where to run; without it, a temporary folder that goes again if all is well")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    place = Path(chosen.place or tempfile.mkdtemp(prefix="faults-"))
    place.mkdir(parents=True, exist_ok=True)
    numbers = (chosen.kills - chosen.kills // 2, chosen.kills // 2, chosen.restarts, chosen.stops)
    wanted = {name: number for name, number in zip(FAULTS, numbers, strict=True) if number}
    print("                runs  equal  lost steps: mean  most  seconds to the end", flush=True)
    told = {name: tried(place, name, number, chosen.seed) for name, number in wanted.items()}
    print(json.dumps(told))
    if any(row["equal"] < row["runs"] for row in told.values()):
        sys.exit(1)
    if not chosen.place:
        shutil.rmtree(place)


def tried(place: Path, name: str, number: int, seed: int) -> dict[str, Any]:
    """The row of one kind of fault, printed."""
    processes = 1 if FAULTS[name] in ONE else 2
    whole, chance = place / f"{name.replace(' ', '_')}_unbroken", random.Random(seed)
    pace = unbroken(whole, processes)
    fates: list[Fate] = []
    while len(fates) < number:
        broken = place / f"{name.replace(' ', '_')}_{len(fates):03}"
        shutil.rmtree(broken, ignore_errors=True)
        found = fate(broken, whole, FAULTS[name], pace, chance)
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
