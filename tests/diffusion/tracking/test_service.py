"""A service that hangs costs records, one warning and a limited time."""

import threading
import time

import pytest

from diffusion.tracking import service
from diffusion.tracking.service import Service


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(service, "SILENCE", 0.2)
    monkeypatch.setattr(service, "end_service", lambda: None)
    monkeypatch.setattr("diffusion.compute.daemon_thread.PATIENCE", 0.1)


def test_calls_are_made_in_turn_and_all_by_the_end():
    calls, silences = Service(lambda: pytest.fail("it answered")), []
    for number in range(300):
        calls.make(silences.append, number)
    calls.close()
    assert silences == [*range(300)]


def test_a_call_that_hangs_holds_nobody_up_until_the_end_and_that_not_for_long(impatient):
    silences = []
    calls = Service(lambda: silences.append(1))
    calls.make(threading.Event().wait)
    for _ in range(service.MOST_WAITING - 1):
        calls.make(print)
    begun = time.monotonic()
    calls.close()
    assert silences == [1] and time.monotonic() - begun < 5


def test_when_too_many_calls_wait_the_service_is_given_up(impatient):
    silences = []
    calls = Service(lambda: silences.append(1))
    calls.make(threading.Event().wait)
    for _ in range(service.MOST_WAITING):
        calls.make(print)
    assert silences == [1]
