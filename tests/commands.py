"""Commands as a user types them, each in a process of its own, but without importing torch anew in each."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRELOADED = [
    "diffusion.cli.command", "diffusion.config.load", "diffusion.config.preflight", "diffusion.training.loop", "wandb",
]  # fmt: skip

Done = subprocess.CompletedProcess[str]


def command(folder: Path, script: str, *words: object, seconds: float = 300, **environment: str) -> Done:
    """What `python script words` comes to in `folder`: its exit code, stdout and stderr."""
    server = multiprocessing.get_context("forkserver")
    assert all(map(find_spec, PRELOADED)), "the server says nothing of what it cannot import"
    server.set_forkserver_preload(PRELOADED)  # by the first call, whose server forks for all later ones
    typed = [str(ROOT / script), *map(str, words)]
    with tempfile.TemporaryDirectory() as scratch:
        streams = Path(scratch, "stdout"), Path(scratch, "stderr")
        process = server.Process(target=run_script, args=(folder, typed, surroundings(**environment), streams))
        process.start()
        process.join(seconds)
        out, err = (stream.read_text() for stream in streams)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(typed, seconds, out, err)
        return Done(typed, process.exitcode, out, err)


def command_anew(folder: Path, script: str, *words: object) -> Done:
    """The same in a Python of its own, which imports all that the script does."""
    typed = [sys.executable, str(ROOT / script), *map(str, words)]
    return subprocess.run(typed, cwd=folder, env=surroundings(), text=True, capture_output=True, timeout=300)


def surroundings(**environment: str) -> dict[str, str]:
    return {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", **environment}


def run_script(folder: Path, typed: list[str], environment: dict[str, str], streams: tuple[Path, Path]) -> None:
    """Become what Python is at the first line of the script, run it, and end as Python does."""
    for number, path in enumerate((os.devnull, *streams)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
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
