"""The whole way to a server: a stand-in for W&B's listens on this machine and keeps what arrives."""

import json
import logging
import os
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from wandb_stand_in import KEY, StandIn

from diffusion.runs import provenance
from diffusion.runs.metrics import MetricsFile
from diffusion.tracking import wandb_run
from diffusion.tracking.wandb_logger import WandbLogger

CONFIG = {"model": {"channels": 32}, "data": {"root": f"/images/{KEY}"}}
COMMIT = "89abcdef" * 5
PICTURE = np.full((8, 8, 3), 7, np.uint8)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The stand-in, and an environment in which W&B knows it alone."""
    import wandb

    stand_in = StandIn()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "WANDB_BASE_URL": stand_in.url, "WANDB_API_KEY": KEY, "HOME": tmp_path, "NETRC": tmp_path / "no_netrc",
        "WANDB_CONFIG_DIR": tmp_path, "WANDB_CACHE_DIR": tmp_path, "WANDB_DATA_DIR": tmp_path,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    with suppress(Exception):
        wandb.teardown()
    yield stand_in
    with suppress(Exception):
        wandb.teardown()
    stand_in.stop()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


class Trial:
    """What a training run does to its logger and its files."""

    def __init__(self, folder, *, resume: bool = False, **options) -> None:
        self.logger, self.folder, self.metrics = WandbLogger(**options), folder, MetricsFile(folder / "metrics.jsonl")
        made_by = provenance.record_provenance(folder, command=["python", "train.py", f"api_key={KEY}"]) | {
            "commit": COMMIT
        }
        self.logger.start(folder, name="digits", config=CONFIG, resume=resume, provenance=made_by)

    def log(self, *steps: int) -> None:
        for step in steps:
            values = {"images": 4 * step, "loss": abs(step - 2) + 0.5, "lr": 0.1}
            self.metrics.write(step, values)
            self.logger.log(step, values)


def steps(rows) -> list[int]:
    return [row["step"] for row in rows]


def test_all_that_a_run_tells_arrives_and_no_key(server, folder):
    trial = Trial(folder, group="sweep", tags=("tiny",))
    trial.log(1, 2)
    trial.logger.images(2, "samples/ema_0.9999", PICTURE, caption="step 2")
    trial.logger.log(2, {"images": 8, "recognised": 0.9}, panel="quality")
    trial.log(3)
    trial.logger.log(3, {"images": 12, "bits_per_dim": 3.0, "recognised": 0.8}, panel="quality")
    trial.logger.alert("Training stopped", f"key {KEY}")
    trial.logger.finish(exit_code=3)
    assert server.run["commit"] == COMMIT and server.run["groupName"] == "sweep" and server.run["tags"] == ["tiny"]
    assert server.config["model"] == CONFIG["model"] and server.config["provenance"]["command"].endswith("[removed]")
    rows = [(row["_step"], row["images"], row["loss/loss"]) for row in server.rows]
    assert rows == [(1, 4, 1.5), (2, 8, 0.5), (3, 12, 1.5)]
    assert server.rows[1]["samples/ema_0.9999"]["caption"] == "step 2"
    assert server.rows[1]["samples/ema_0.9999"]["path"] in server.files and "provenance.json" in server.files
    assert (server.summary["loss/loss"], server.summary["best/loss/loss"]) == (1.5, 0.5)
    assert (server.summary["quality/recognised"], server.summary["best/quality/recognised"]) == (0.8, 0.9)
    assert server.exit_code == 3 and server.alerts[0]["title"] == "Training stopped"
    everything = repr([server.run, server.rows, server.summary, server.files, server.alerts])
    assert KEY not in everything


def test_a_server_that_dies_stops_nothing_and_loses_nothing(server, folder, caplog, monkeypatch):
    monkeypatch.setattr(wandb_run, "FINISH_TIMEOUT", 2)
    trial = Trial(folder)
    trial.log(1, 2)
    server.stop()
    trial.log(3, 4)
    trial.logger.images(4, "samples/raw", PICTURE, caption="step 4")
    before = time.monotonic()
    with caplog.at_level(logging.WARNING, "diffusion"):
        trial.logger.finish()
    assert time.monotonic() - before < 20  # 2 s, and what a busy machine adds
    (part,) = folder.glob(f"wandb/*run-*-{server.run['name']}")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(part)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["step"] == 4 and steps(MetricsFile.read(trial.metrics.path)) == [1, 2, 3, 4]
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("diffusion")]
    assert said.startswith("W&B did not take everything in time; upload the rest with: wandb sync ")


def test_what_the_server_missed_of_a_killed_run_is_sent_when_the_run_goes_on(server, folder):
    killed = Trial(folder)
    killed.log(1, 2)
    killed.logger.finish()
    killed.metrics.write(3, {"images": 12, "loss": 1.5, "lr": 0.1})  # written, but lost on its way
    killed.metrics.write(3, {"images": 12, "bits_per_dim": 3.0})
    resumed = Trial(folder, resume=True)
    resumed.log(4)
    resumed.logger.finish()
    assert steps(server.rows) == [1, 2, 3, 4]
    assert server.rows[2]["loss/loss"] == 1.5 and server.rows[2]["quality/bits_per_dim"] == 3.0
    assert (server.summary["loss/loss"], server.summary["best/loss/loss"]) == (2.5, 0.5)


def test_a_key_that_the_server_does_not_know_costs_one_line(server, folder, caplog):
    server.viewer = lambda _: {"viewer": None}
    with caplog.at_level(logging.WARNING, "diffusion"):
        Trial(folder).logger.finish()
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("diffusion")]
    assert said.startswith("W&B does not log in, so offline: Failed to authenticate") and "\n" not in said
    assert server.run == {} and len(list(folder.glob("wandb/offline-run-*"))) == 1
