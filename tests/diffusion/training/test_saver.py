"""Checkpoints are written beside the training."""

import threading
import time

import pytest
from tiny_training import tiny_state

from diffusion.runs import checkpoints
from diffusion.training.saver import Saver


class SlowDisk:
    """Writes a file only when it is let, and tells that one has come."""

    def __init__(self):
        self.came, self.goes_on, self.to_disk = (
            threading.Semaphore(0),
            threading.Semaphore(0),
            checkpoints.write_checkpoint,
        )

    def write(self, path, state):
        self.came.release()
        self.goes_on.acquire()
        self.to_disk(path, state)


@pytest.fixture
def slow_disk(monkeypatch):
    disk = SlowDisk()
    monkeypatch.setattr(checkpoints, "write_checkpoint", disk.write)
    return disk


def steps(folder):
    return [checkpoints.checkpoint_step(path) for path in checkpoints.list_checkpoints(folder)]


def test_what_is_written_is_the_state_of_the_moment_it_was_given(tmp_path, slow_disk):
    saver, state = Saver(tmp_path, keep=1, keep_every=None), tiny_state(1)
    saver.save(state)
    state["model"]["weight"].zero_()
    slow_disk.goes_on.release()
    saver.close()
    assert checkpoints.read_checkpoint(tmp_path / "step_00000001.pt")["model"]["weight"][0] == 1


def test_a_slow_disk_never_makes_the_training_wait_and_gets_the_newest(tmp_path, slow_disk):
    saver = Saver(tmp_path, keep=9, keep_every=3)
    saver.save(tiny_state(1))
    assert slow_disk.came.acquire(timeout=60)
    for step in range(2, 6):
        saver.save(tiny_state(step))
    slow_disk.goes_on.release(9)
    saver.close()
    assert steps(tmp_path) == [1, 3, 5]  # 1 was being written, 3 is kept for good and 5 is the last.


def test_a_file_that_cannot_be_written_costs_a_warning_unless_it_is_the_last(tmp_path, monkeypatch, caplog):
    write, full = checkpoints.write_checkpoint, True

    def failing(path, state):
        if full:
            raise OSError(28, "No space left on device", str(path))
        write(path, state)

    monkeypatch.setattr(checkpoints, "write_checkpoint", failing)
    saver = Saver(tmp_path, keep=1, keep_every=1)
    saver.save(tiny_state(1))
    limit = time.monotonic() + 60
    while not caplog.records and time.monotonic() < limit:
        time.sleep(0.01)
    full = False
    saver.save(tiny_state(2))
    saver.close()
    assert steps(tmp_path) == [2] and "goes on without a checkpoint of step 1" in caplog.text

    full, saver = True, Saver(tmp_path, keep=1, keep_every=None)
    saver.save(tiny_state(3))
    with pytest.raises(OSError, match="No space left"):
        saver.close()
    assert steps(tmp_path) == [2]
