"""Checkpoints are written beside the training."""

import threading
import time
from collections import OrderedDict

import pytest
import torch
from tiny_training import tiny_state

from diffusion.runs import checkpoints, plain_pickle, state
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
    saver, given = Saver(tmp_path, keep=1, keep_every=None), tiny_state(1)
    saver.save(given)
    given["model"]["weight"].zero_()
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


def nested(depth):
    return {"deeper": nested(depth - 1)} if depth else {}


def plain_states():
    """States at the edge of what a checkpoint holds, each as the optimizer keeps it."""
    for dtype in plain_pickle.DTYPES:
        yield str(dtype), torch.arange(4).to(dtype)
    yield "conjugate", torch.randn(3, dtype=torch.complex64).conj()
    yield "negative", torch.randn(3, dtype=torch.complex64).conj().imag
    yield "expanded", torch.ones(1).expand(4, 4)
    yield "parameter", torch.nn.Parameter(torch.ones(2))
    yield "values", [1, 2.0, None, "x", (True, torch.ones(2)), 2**63 - 1, OrderedDict(a=1), torch.ones(2).shape]
    yield "many", [[] for _ in range(900)]
    yield "texts", {f"{number} ": f"{number}." for number in range(450)}
    yield "tensors", [torch.zeros(number) for number in range(110)]


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in plain_states()])
def test_whatever_is_taken_to_be_saved_is_read_back(tmp_path, monkeypatch, value):
    monkeypatch.setattr(state, "MOST_NAMES", 1000)
    for module in (state, plain_pickle):
        monkeypatch.setattr(module, "MOST_OPCODES", 4000)
    saver = Saver(tmp_path, keep=1, keep_every=None)
    saver.save({**tiny_state(1), "optimizer": {"kept": value}})
    saver.close()
    kept = checkpoints.read_checkpoint(tmp_path / "step_00000001.pt")["optimizer"]["kept"]
    assert torch.equal(kept, value) if isinstance(value, torch.Tensor) else type(kept) is type(value)


@pytest.mark.parametrize(
    "part, value, said",
    [
        ("model", {"_extra_state": {}}, "not of the form that checkpoints have: Tensors by name"),
        ("model", {"weight": torch.zeros(1, dtype=torch.bits8)}, r"\['weight'\] is a strided tensor of bits8"),
        ("optimizer", {"kept": ["x" * 100 * state.MOST_NAMES]}, "too large"),
        ("optimizer", nested(40), "levels deep"),
    ],
)
def test_what_could_not_be_read_back_is_not_saved(tmp_path, part, value, said):
    with Saver(tmp_path, keep=1, keep_every=None) as saver, pytest.raises(ValueError, match=said):
        saver.save({**tiny_state(1), part: value})
    assert steps(tmp_path) == []
