"""Calls to W&B's service process, which may hang or die without holding up the training."""

from collections.abc import Callable
from concurrent.futures import wait
from contextlib import suppress
from threading import Semaphore
from typing import Any

from diffusion.compute.daemon_thread import DaemonThread

SILENCE = 30  # seconds without an answer after which the service is given up
MOST_WAITING = 100  # calls, some of which hold a picture


class Service:
    """Makes calls one after the other in a thread; where they do not return, kills the service and calls `on_silence`.

    The caller waits only where `MOST_WAITING` calls are before its own, and at the end, and no longer than `SILENCE`.
    """

    def __init__(self, on_silence: Callable[[], None]) -> None:
        self._thread, self._room, self._on_silence = DaemonThread(), Semaphore(MOST_WAITING), on_silence

    def make(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have a call made after those before."""
        if self._room.acquire(timeout=SILENCE):
            self._thread.submit(call, *arguments).add_done_callback(lambda _: self._room.release())
        else:
            self._give_up()

    def close(self) -> None:
        """Wait until all calls are made."""
        if wait([self._thread.submit(lambda: None)], SILENCE).not_done:
            self._give_up()
        self._thread.shutdown(wait=False)

    def _give_up(self) -> None:
        import wandb

        self._on_silence()
        with suppress(Exception):  # W&B has no public name for it.
            wandb.setup().assert_service()._proc._process.kill()  # type: ignore[union-attr]
            self._thread.shutdown(cancel_futures=True)  # The call that hung now fails.
            end_service()


def end_service() -> None:
    """End W&B's service process, for which W&B would wait at the end of this one, or miss it if it is dead."""
    import wandb

    with suppress(Exception, SystemExit):  # W&B exits with the code of a service that was killed.
        wandb.teardown()
