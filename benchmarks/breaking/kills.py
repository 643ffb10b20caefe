"""Runs that are killed or told to stop."""

from __future__ import annotations

import os
import random
import signal
import time

from breaking.fault import Fault
from breaking.life import STEPS, Life, Pace, any_moment


class AtAnyMoment(Fault):
    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
        if not any_moment(life, pace, chance):
            return False
        os.kill(life.pid, signal.SIGKILL)
        return life.ended() == -signal.SIGKILL


class WhileSaving(Fault):
    """Stops it at a random moment of a random save; kills it if it was stopped in time."""

    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
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


class OfTwo(Fault):
    processes, goes_on = 2, True

    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
        rank = chance.randrange(2)
        pid = life.worker(rank) if any_moment(life, pace, chance) else None
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True


class Terminated(Fault):
    processes = 2

    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
        if not any_moment(life, pace, chance):
            return False
        os.kill(life.pid, signal.SIGTERM)
        return life.ended() != 0
