"""Calls to W&B's service process, which may hang or die without holding up the training."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Semaphore
from typing import Any

from diffusion.compute.daemon_thread import DaemonThread
from diffusion.tracking.loggers import first_line

log = logging.getLogger(__name__)

SILENCE = 30  # seconds in which no call returns, after which the service is given up
MOST_WAITING = 100  # calls, some of which hold a picture


class Service:
    """Makes calls one after the other in a thread; where they do not return, kills the service and calls `on_silence`.

    The caller waits only where `MOST_WAITING` calls are before its own, and at the end, and no longer than `SILENCE`
    after the last call that returned. What a call raises costs a warning, the first time.
    """

    def __init__(self, on_silence: Callable[[], None]) -> None:
        self._thread, self._room, self._on_silence = DaemonThread(), Semaphore(MOST_WAITING), on_silence
        self._last_return = time.monotonic()
        self._failed = self._given_up = False

    def make(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have a call made after those before, unless the service is given up."""
        if self._given_up:
            return
        if self._answers(lambda seconds: self._room.acquire(timeout=seconds)):
            self._thread.submit(call, *arguments).add_done_callback(self._note)
        else:
            self._give_up()

    def close(self) -> None:
        """Wait until all calls are made; end a service that failed at one."""
        if not self._given_up:
            last = self._thread.submit(lambda: None)
            if not self._answers(lambda seconds: bool(wait([last], seconds).done)):
                self._give_up()
            elif self._failed:
                end_service()
        self._thread.shutdown(wait=False)

    def _answers(self, comes: Callable[[float], bool]) -> bool:
        """True once `comes` says so, which waits for some seconds; False after a silence."""
        begun = time.monotonic()
        while (left := max(begun, self._last_return) + SILENCE - time.monotonic()) > 0:
            if comes(left):
                return True
        return False

    def _note(self, call: Future[object]) -> None:
        """Take note that a call is over."""
        self._last_return = time.monotonic()
        self._room.release()
        if not call.cancelled() and (error := call.exception()) and not self._failed:
            self._failed = True
            log.warning("Training goes on, but W&B misses records: %s", first_line(error))

    def _give_up(self) -> None:
        self._failed = self._given_up = True
        self._on_silence()
        self._thread.shutdown(wait=False, cancel_futures=True)
        kill_service()  # The call that hung now fails.
        self._thread.shutdown()
        with DaemonThread() as thread:  # W&B would wait for a service that could not be killed.
            thread.submit(end_service)


def kill_service() -> None:
    """Kill W&B's service process, if it is where this version of W&B keeps it, for which there is no public name."""
    import wandb

    with suppress(Exception):
        wandb.setup().assert_service()._proc._process.kill()  # type: ignore[union-attr]


def end_service() -> None:
    """End W&B's service process, for which W&B would wait at the end of this one, or miss it if it is dead."""
    import wandb

    with suppress(Exception, SystemExit):  # W&B exits with the code of a service that was killed.
        wandb.teardown()
