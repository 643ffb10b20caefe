"""A disk that fills up under a run."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breaking.fault import Fault
from breaking.life import Life, Pace, any_moment
from diffusion.runs import checkpoints

SIZE = 64  # MB of the disk


class FullDisk(Fault):
    """Fills the disk at any moment but for the room of up to two and a half checkpoints. Mounts one, as root only."""

    settings = ("train.keep=1",)  # so that no older file can give way
    may_lack_lines = True  # which a full disk costs, and a warning says so

    @contextmanager
    def prepared(self, place: Path) -> Iterator[None]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", place], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)

    def strike(self, life: Life, pace: Pace, chance: random.Random) -> bool:
        if not any_moment(life, pace, chance):
            return False
        files = checkpoints.list_checkpoints(life.run / "checkpoints")
        left = int(chance.uniform(0, 2.5) * (files[-1].stat().st_size if files else 1_000_000))
        with filler(life).open("wb") as file:
            while not fills(file.fileno(), left):  # The run may have written meanwhile.
                pass
        life.ended()
        return True

    def repair(self, life: Life) -> str:
        try:
            for path in checkpoints.list_checkpoints(life.run / "checkpoints"):
                checkpoints.read_checkpoint(path)
        except ValueError as error:
            return str(error)
        finally:
            filler(life).unlink()
        return "" if life.code in (0, 1) else f"a run whose disk is full ends with {life.code}"


def fills(file: int, left: int) -> bool:
    """Fill the disk of a file with it, but for so many bytes; False if others took the room first."""
    disk = os.fstatvfs(file)
    try:
        os.posix_fallocate(file, 0, max(disk.f_bavail * disk.f_frsize - left, 1))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def filler(life: Life) -> Path:
    return life.run.parents[1] / "filler"
