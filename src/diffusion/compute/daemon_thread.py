"""Work in a thread that may hang, as on a disk or a process that no longer answers, without the program hanging too."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

PATIENCE = 3.0  # seconds for a call in progress when nothing more is wanted


class DaemonThread(Executor):
    """One thread that makes the calls submitted to it in turn. The program ends whether or not the last one returns."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._calls.put((future, lambda: call(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after the calls submitted so far, or after the one in progress if the others are cancelled.

        `wait` for it, but not for a call that hangs.
        """
        with suppress(Empty):  # The thread may take the last call at any moment.
            while cancel_futures:
                if waiting := self._calls.get_nowait():
                    waiting[0].cancel()
        self._calls.put(None)
        if wait:
            self._thread.join(PATIENCE)

    def _work(self) -> None:
        while waiting := self._calls.get():
            future, call = waiting
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del waiting, future, call  # What was read need not outlive its use.
