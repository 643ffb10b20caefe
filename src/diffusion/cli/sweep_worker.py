"""A run of a sweep in a process of its own: joblib's on this machine, submitit's anywhere."""

import os
import signal
import sys
import threading
import time
from typing import Any, TextIO

from hydra.core.hydra_config import HydraConfig

PATIENCE = 1.0  # seconds between two looks at the parent
_stopped = False


class LabelledStream:
    """A stream each of whose lines says which of the sweep's runs it is from; no terminal, so that no bar is drawn."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        label = f"[{HydraConfig.get().job.num}] " if HydraConfig.initialized() else ""
        # One write for a line and its end, or the lines of two runs would mix.
        lines = text.splitlines(keepends=True)
        self.stream.write("".join(line if line in ("\n", "\r\n") else label + line for line in lines))
        return len(text)

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def adopt(parent: int) -> None:
    """Make a process that `parent` started itself end with it, and its lines tell the runs apart."""
    if os.getppid() == parent and not is_worker():
        sys.stdout, sys.stderr = LabelledStream(sys.stdout), LabelledStream(sys.stderr)  # type: ignore[assignment]
        threading.Thread(target=stop_with, args=(parent,), daemon=True).start()


def is_worker() -> bool:
    return isinstance(sys.stderr, LabelledStream)


def stop_with(parent: int) -> None:
    """Stop the run in hand as Ctrl-C would once `parent` is gone: nobody else would, and it would be run twice."""
    while os.getppid() == parent:
        time.sleep(PATIENCE)
    os.kill(os.getpid(), signal.SIGTERM)


def stop() -> bool:
    """Begin no more runs in this process if it is joblib's; False elsewhere.

    To exit would make joblib kill the runs that are still saving.
    """
    global _stopped
    _stopped = is_worker()
    return _stopped


def is_stopping() -> bool:
    return _stopped


def ignore_first_interrupt(*_: object) -> None:
    """What the first Ctrl-C does where joblib's processes get it too: nothing, since joblib would kill them at once."""
    print("The runs save and stop; Ctrl-C again ends them at once.", file=sys.stderr)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def join_tasks() -> None:
    """Tell torch which of its job's processes this is, as torchrun would, where submitit started several."""
    if "SUBMITIT_EXECUTOR" not in os.environ or "RANK" in os.environ:
        return
    import submitit

    if submitit.JobEnvironment().num_tasks > 1:
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)


def has_peers_waiting() -> bool:
    """True if other processes go on to a sweep's next run with this one; those of a submitted job have one run each."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and "SUBMITIT_EXECUTOR" not in os.environ


def forward_requeue_signal(code: int) -> None:
    """Tell who waits for SIGUSR2 that it ended this run: submitit, which now puts the job back into the queue."""
    if code == 128 + signal.SIGUSR2 and callable(signal.getsignal(signal.SIGUSR2)):
        signal.raise_signal(signal.SIGUSR2)
