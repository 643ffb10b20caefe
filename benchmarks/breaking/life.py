"""Starts of a small training run, and the moments of one."""

from __future__ import annotations

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch._dynamo  # noqa: F401  # what train.py imports is imported once, for all lives

import diffusion.config.build  # noqa: F401
from diffusion.runs.metrics import MetricsFile

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
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
    """One start of the command in `place`, with `settings` of its own, alone or as two processes under torchrun."""

    def __init__(self, place: Path, processes: int, settings: tuple[str, ...] = ()) -> None:
        self.run = place / "runs" / "run"
        place.mkdir(exist_ok=True)
        with (place / "said.txt").open("a") as said:
            if processes == 1:
                self.pid = forked(place, said.fileno(), settings)
            else:
                words = (
                    "--standalone",
                    f"--nproc_per_node={processes}",
                    "--max-restarts=3",
                    str(TRAIN),
                    *SETTINGS,
                    *settings,
                )
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

    @property
    def children(self) -> list[tuple[int, str]]:
        """The processes that it has started, whichever of its threads did, with their names."""
        found = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found.append((int(child), Path(f"/proc/{child}/comm").read_text().strip()))
        return found


def forked(place: Path, said: int, settings: tuple[str, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code: Any = 1
    try:
        os.chdir(place)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = [str(TRAIN), *SETTINGS, *settings]
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


def unbroken(place: Path, processes: int, settings: tuple[str, ...] = ()) -> Pace:
    life, times = Life(place, processes, settings), []
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
