"""Two processes as torchrun starts them are one run with one voice and one end. Every start costs seconds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from diffusion.runs import checkpoints, status
from diffusion.runs.metrics import MetricsFile

ROOT = Path(__file__).parents[1]
TINY = (
    "train=debug", "data.image_size=8", "diffusion.steps=8", "model.base_channels=8", "model.channel_mult=[1,2]",
    "model.norm_groups=4", "model.attention_resolutions=[4]", "train.preview.every=0", "device=cpu", "name=run",
)  # fmt: skip


def started(folder: Path, *words: str, processes: int = 2, torchrun: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    flags, words = [word for word in words if word[0] == "-"], tuple(word for word in words if word[0] != "-")
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *torchrun]
    return subprocess.Popen(
        [sys.executable, *(launch if processes > 1 else []), str(ROOT / "train.py"), *flags, *TINY, *words],
        cwd=folder, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], seconds: float = 120) -> str:
    """What it said beside torchrun's own lines; it is killed if it does not end."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert out == ""
    return err


def wait_for(condition: Callable[[], bool], seconds: float = 100) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def worker(process: subprocess.Popen[str], rank: int) -> int:
    """The process of a rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (mine,) = [c for c in children if f"\0RANK={rank}\0".encode() in Path(f"/proc/{c}/environ").read_bytes()]
    return int(mine)


def logged(folder: Path) -> list[float]:
    path = folder / "runs" / "run" / "metrics.jsonl"
    return [line["step"] for line in MetricsFile.read(path)] if path.exists() else []


def test_two_processes_are_one_run_with_one_voice(tmp_path):
    process = started(tmp_path, "train.parallel=fsdp", "train.max_steps=3")
    said = ended(process)
    assert process.returncode == 0, said
    steps = re.findall(r"^step (\d)/3", said, re.M)
    assert steps == ["1", "2", "3"] and said.count("Run folder:") == said.count("Done.") == 1
    assert "2 processes x 1 micro-batch x 4 images" in said and "Traceback" not in said
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"] and logged(tmp_path) == [1, 2, 3]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for the processes in /proc")
def test_torchrun_starts_those_again_of_whom_one_was_killed(tmp_path):
    process = started(tmp_path, "train.max_steps=200", "train.save_every=5", torchrun=("--max-restarts=1",))
    wait_for(lambda: len(logged(tmp_path)) >= 8)
    os.kill(worker(process, 1), signal.SIGKILL)
    log = tmp_path / "runs" / "run" / "train.log"
    wait_for(lambda: "Resuming at step" in log.read_text())
    before = len(logged(tmp_path))
    wait_for(lambda: len(logged(tmp_path)) > before)
    process.send_signal(signal.SIGTERM)
    said = ended(process, 30)
    assert "Stopped by a signal, all steps saved" in said
    last = checkpoints.last_step(tmp_path / "runs" / "run" / "checkpoints")
    assert (
        logged(tmp_path) == list(range(1, last + 1))
        and status.read_status(tmp_path / "runs" / "run")["state"] == "stopped"
    )


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for the processes in /proc")
def test_one_that_is_killed_takes_all_down_at_once(tmp_path):
    process = started(tmp_path, "train.max_steps=2000", "train.save_every=1000")
    wait_for(lambda: len(logged(tmp_path)) >= 3)
    os.kill(worker(process, 1), signal.SIGKILL)
    begun = time.monotonic()
    said = ended(process, 60)
    assert time.monotonic() - begun < 20 and process.returncode != 0
    assert "Traceback" not in said.partition("torch/distributed/elastic")[0], "what torchrun says comes after"
    assert checkpoints.last_step(tmp_path / "runs" / "run" / "checkpoints") == logged(tmp_path)[-1], "no step is lost"


def test_a_sweep_takes_all_processes_from_run_to_run(tmp_path):
    process = started(tmp_path, "-m", "seed=0,1", "train.max_steps=1", "name=run_${seed}")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert sorted(path.name for path in (tmp_path / "runs").glob("run_*")) == ["run_0", "run_1"]
    assert out.count("The sweep's page") == 1 and err.count("Run folder:") == 2
