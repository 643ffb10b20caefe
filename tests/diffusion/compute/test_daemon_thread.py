"""A thread that may hang, and the program not."""

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from diffusion.compute import daemon_thread
from diffusion.compute.daemon_thread import DaemonThread


def test_calls_are_made_in_turn_and_their_errors_are_those_of_the_caller():
    with DaemonThread() as thread:
        futures = [thread.submit(divmod, 7, by) for by in (2, 0, 3)]
        assert futures[0].result(10) == (3, 1) and futures[2].result(10) == (2, 1)
        with pytest.raises(ZeroDivisionError):
            futures[1].result(10)


def test_what_was_submitted_is_done_before_the_end_unless_it_is_cancelled(monkeypatch):
    made, go_on, thread = [], threading.Event(), DaemonThread()
    futures = [thread.submit(go_on.wait), thread.submit(made.append, 1)]
    thread.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    with pytest.raises(CancelledError):
        futures[1].result(10)
    with DaemonThread() as thread:
        thread.submit(made.append, 2)
    assert made == [2]


@pytest.fixture
def restless():
    """Threads take turns after each few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_calls_are_cancelled_while_the_thread_takes_them(restless):
    for _ in range(200):
        thread = DaemonThread()
        futures = [thread.submit(int) for _ in range(100)]
        end = threading.Thread(target=thread.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        end.start()
        end.join(10)
        assert not end.is_alive() and all(future.done() for future in futures)


def test_a_call_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(daemon_thread, "PATIENCE", 0.1)
    with DaemonThread() as thread:
        future = thread.submit(threading.Event().wait)
    assert future.running()


def test_a_program_ends_whether_or_not_its_calls_do():
    program = """if True:
        import os, sys
        from diffusion.compute.daemon_thread import DaemonThread
        reads, writes = os.pipe()
        DaemonThread().submit(os.read, reads, 1)
        sys.exit(7)
    """
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 7
