"""A service that hangs costs records, one warning and a limited time; one that is slow costs only time."""

import sys
import threading
import time
from types import ModuleType

import pytest

from diffusion.tracking import service
from diffusion.tracking.service import Service


class StandIn:
    """A service process whose calls hang until it is killed."""

    def __init__(self) -> None:
        self.killed, self.ended = threading.Event(), threading.Event()

    def hang(self) -> None:
        self.killed.wait()
        raise ConnectionResetError("killed")


@pytest.fixture
def stand_in(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(service, "SILENCE", 0.5)
    monkeypatch.setattr(service, "kill_service", stand_in.killed.set)
    monkeypatch.setattr(service, "end_service", stand_in.ended.set)
    yield stand_in
    stand_in.killed.set()


def test_calls_are_made_in_turn_and_all_by_the_end(stand_in):
    calls, made = Service(lambda: pytest.fail("it answered")), []
    for number in range(300):
        calls.make(made.append, number)
    calls.close()
    assert made == [*range(300)] and not stand_in.killed.is_set() and not stand_in.ended.is_set()


@pytest.mark.parametrize("waiting", [service.MOST_WAITING - 1, service.MOST_WAITING + 50])
def test_a_service_that_hangs_is_killed_once_and_the_calls_that_wait_are_not_made(stand_in, caplog, waiting):
    before, silences, made, begun = set(threading.enumerate()), [], [], time.monotonic()
    calls = Service(lambda: silences.append(1))
    calls.make(stand_in.hang)
    for number in range(waiting):
        calls.make(made.append, number)
    calls.close()
    assert stand_in.killed.is_set() and stand_in.ended.is_set() and time.monotonic() - begun < 5
    assert (silences, made, caplog.messages) == ([1], [], [])
    assert set(threading.enumerate()) <= before


def test_a_service_that_hangs_and_cannot_be_killed_holds_nobody_up(monkeypatch, stand_in):
    monkeypatch.setattr("diffusion.compute.daemon_thread.PATIENCE", 0.1)
    monkeypatch.setattr(service, "kill_service", lambda: None)
    monkeypatch.setattr(service, "end_service", stand_in.hang)
    silences, begun = [], time.monotonic()
    calls = Service(lambda: silences.append(1))
    calls.make(stand_in.hang)
    calls.close()
    assert silences == [1] and time.monotonic() - begun < 5


def test_a_version_of_wandb_that_keeps_its_process_elsewhere_stops_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))
    service.kill_service()


def test_a_service_that_is_slow_but_answers_is_waited_for(monkeypatch, stand_in):
    monkeypatch.setattr(service, "SILENCE", 1)
    calls, made = Service(lambda: pytest.fail("it answered")), []
    for number in range(5):
        calls.make(lambda number: (time.sleep(0.3), made.append(number)), number)
    calls.close()
    assert made == [*range(5)] and not stand_in.killed.is_set()


def test_calls_that_fail_cost_one_warning_and_the_service_is_ended(stand_in, caplog):
    calls, made = Service(lambda: pytest.fail("it answered")), []
    for _ in range(2):
        calls.make(divmod, 1, 0)
    calls.make(made.append, 1)
    calls.close()
    assert made == [1] and stand_in.ended.is_set() and not stand_in.killed.is_set()
    (line,) = caplog.messages
    assert line.startswith("Training goes on, but W&B misses records: ") and "zero" in line
