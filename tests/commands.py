"""Commands as a user types them, each in a process of its own, but without importing torch anew in each."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMPORTED = [
    "diffusion.config.load",
    "diffusion.config.preflight",
    "diffusion.cli.command",
    "diffusion.training.loop",
    "wandb",
]

Done = subprocess.CompletedProcess[str]


def command(folder: Path, script: str, *words: object, seconds: float = 300, **environment: str) -> Done:
    """What `python script words` comes to in `folder`: its exit code, stdout and stderr."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(IMPORTED)  # by the first call, whose server forks for all later ones
    typed = [str(ROOT / script), *map(str, words)]
    given = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", **environment}
    with tempfile.TemporaryDirectory() as place:
        streams = Path(place, "stdout"), Path(place, "stderr")
        process = server.Process(target=run_script, args=(folder, typed, given, streams))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(typed, seconds)
        return Done(typed, process.exitcode, *(stream.read_text() for stream in streams))


def run_script(folder: Path, typed: list[str], environment: dict[str, str], streams: tuple[Path, Path]) -> None:
    """Become what Python is at the first line of the script, run it, and end as Python does."""
    for number, place in enumerate((os.devnull, *streams)):
        os.dup2(os.open(place, os.O_RDWR | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = typed
    sys.path[:0] = [str(ROOT), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        runpy.run_path(typed[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    ctypes.pythonapi.Py_Exit(code)  # which waits for threads, runs what was registered for the end, and flushes
