"""Processes that a run waits for, and that no longer answer."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from breaking.fault import Fault
from breaking.life import Life, Pace, any_moment

LIMIT = 15  # seconds to save and leave
SERVICE_LIMIT = 90  # seconds to train to the end and to wait for W&B


def freeze(life: Life, name: str) -> bool:
    """Stop all processes of that name that it has started; False if there are none."""
    processes = [process for process, comm in life.children if comm.startswith(name)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    return bool(processes)


class FrozenReaders(Fault):
    """Stops what reads images; when the run waits for them, sends it SIGTERM, once."""

    settings = ("data=image_folder", "data.root=../images", "data.cache=off", "data.workers=2", "data.channels=1")

    @contextmanager
    def prepared(self, place: Path) -> Iterator[None]:
        (place / "images").mkdir(parents=True, exist_ok=True)
        for number in range(64):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(place / "images" / f"{number:02}.png")
        yield

    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
        if not any_moment(life, pace, chance) or not freeze(life, "python"):
            return False
        time.sleep(1)
        os.kill(life.pid, signal.SIGTERM)
        life.wait(lambda: False, LIMIT)
        return True

    def repair(self, life: Life) -> str:
        in_time = not life.alive
        code = life.ended()
        return (
            "" if in_time and code in (0, 128 + signal.SIGTERM) else f"a run whose readers are frozen ends with {code}"
        )


class FrozenService(Fault):
    """Stops W&B's service, after which the run trains to its end and leaves."""

    settings = ("logger.mode=offline",)

    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
        if not any_moment(life, pace, chance) or not freeze(life, "wandb-core"):
            return False
        life.wait(lambda: False, SERVICE_LIMIT)
        return True

    def repair(self, life: Life) -> str:
        in_time = not life.alive
        code = life.ended()
        return "" if in_time and code == 0 else f"a run whose service is frozen ends with {code}"
