import json
import logging
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from wandb_stand_in import KEY

from diffusion.runs.metrics import MetricsFile
from diffusion.tracking.loggers import first_line
from diffusion.tracking.panels import panel_name
from diffusion.tracking.wandb_logger import WandbLogger
from diffusion.tracking.wandb_run import is_online

CONFIG = {"model": {"channels": 32, "attention_resolutions": [16, 8]}, "max_steps": 40}


def forget_account(patch, home) -> None:
    """Nobody is logged in, nothing is chosen, and no server answers."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("NETRC", str(home / "no_netrc"))
    patch.setenv("WANDB_CONFIG_DIR", str(home))
    patch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    patch.setenv("WANDB_HTTP_TIMEOUT", "2")
    if "wandb" in sys.modules:  # its service remembers the environment that it was started in
        with suppress(Exception):
            sys.modules["wandb"].teardown()


@pytest.fixture
def stranger(monkeypatch, tmp_path):
    forget_account(monkeypatch, tmp_path)
    return monkeypatch


@pytest.fixture(scope="module")
def resumed_folder(tmp_path_factory):
    """The folder of a run that crashed at step 30 and went on from a checkpoint at step 10."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("run")
        forget_account(patch, folder)
        picture = np.full((8, 8, 3), 7, np.uint8)
        for resume, steps in ((False, (10, 20, 30)), (True, (20, 30, 40))):
            logger = WandbLogger(project="tests", group="sweep", tags=("tiny",), notes="a note")
            logger.start(folder, name="digits", config=CONFIG | {"max_steps": max(steps)}, resume=resume)
            metrics = MetricsFile(folder / "metrics.jsonl")
            metrics.rewind(10)
            for step in steps:
                values = {"images": 4 * step, "mse": 1 / step, "mse_q0": 0.5, "grad_norm": float("nan")}
                metrics.write(step, values)
                logger.log(step, values)
                logger.images(step, "ema_0.9999", picture, caption=f"step {step}")
            logger.alert("stopped", f"at {steps[-1]}")
            logger.finish(exit_code=0 if resume else 1)
    return folder


@pytest.fixture(scope="module")
def resumed(resumed_folder):
    """Its records, by session."""
    sessions = [records(session) for session in resumed_folder.glob("wandb/offline-run-*")]
    assert len(sessions) == 2
    return sorted(sessions, key=lambda session: of_type(session, "run")[0]["start_time"])


def records(session) -> list[dict]:
    """All records of an offline run, in order."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(session)]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def of_type(session: list[dict], kind: str) -> list[dict]:
    return [record[kind] for record in session if record["type"] == kind]


def said(caplog) -> list[str]:
    """What our logger told the user; W&B's own goes to its files, though caplog sees it."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("diffusion.")]


def test_a_run_carries_its_config_and_its_place(resumed):
    (run,) = of_type(resumed[0], "run")
    assert {key: run["config"]["update"][key] for key in CONFIG} == CONFIG | {"max_steps": 30}
    place = {key: run[key] for key in ("project", "run_group", "display_name", "tags", "notes")}
    assert place == {
        "project": "tests",
        "run_group": "sweep",
        "display_name": "digits",
        "tags": ["tiny"],
        "notes": "a note",
    }


def test_a_resumed_run_is_the_same_run_with_one_row_per_step(resumed):
    assert len({of_type(session, "run")[0]["run_id"] for session in resumed}) == 1
    rows = [row["item"] for session in resumed for row in of_type(session, "history")]
    assert [(row["step"], row["_step"], row["images"]) for row in rows] == [(s, s, 4 * s) for s in (10, 20, 30, 40)]


def test_a_row_holds_grouped_metrics_and_a_picture_with_its_caption(resumed, resumed_folder):
    row = of_type(resumed[0], "history")[0]["item"]
    assert row["loss/mse"] == 0.1 and row["loss_quartile/mse_q0"] == 0.5 and row["optimizer/grad_norm"] == "NaN"
    assert row["samples/ema_0.9999.caption"] == "step 10" and row["samples/ema_0.9999.height"] == 8
    (kept,) = resumed_folder.glob(f"wandb/offline-run-*/files/{row['samples/ema_0.9999.path']}")
    assert (np.asarray(Image.open(kept)) == 7).all()


def test_the_x_axis_is_the_number_of_images(resumed):
    (metric,) = of_type(resumed[0], "metric")
    assert (metric["glob_name"], metric["step_metric"]) == ("*", "images")


def test_alerts_and_the_exit_code_arrive(resumed):
    assert of_type(resumed[0], "alert")[0]["text"] == "at 30"
    assert [of_type(session, "exit")[0].get("exit_code", 0) for session in resumed] == [1, 0]


def test_a_bad_key_without_network_goes_offline_soon_and_the_key_is_not_written(stranger, tmp_path, caplog, capfd):
    stranger.setenv("WANDB_API_KEY", KEY)
    folder = tmp_path / "run"
    folder.mkdir()
    logger = WandbLogger()
    before = time.monotonic()
    with caplog.at_level(logging.INFO, "diffusion"):
        logger.start(folder, name="digits", config=CONFIG, resume=False)
    assert time.monotonic() - before < 12
    logger.log(1, {"images": 4, "mse": 0.5})
    logger.finish()
    warning, place = said(caplog)
    assert warning.startswith("W&B does not log in, so offline: ")
    assert place.startswith(f"W&B: offline, upload with: wandb sync --include-online {folder}/wandb/*run-*-")
    assert "".join(capfd.readouterr()) == ""  # W&B itself is quiet
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()) + caplog.text.encode()
    assert b"offline" in written and KEY.encode() not in written


def test_a_run_that_cannot_start_online_starts_offline_under_the_same_id(stranger, tmp_path, caplog):
    import wandb

    stranger.setenv("WANDB_API_KEY", KEY)
    stranger.setattr(wandb, "login", lambda **_: True)  # the network is lost between login and init
    stranger.setattr("diffusion.tracking.wandb_run.INIT_TIMEOUT", 1)
    logger = WandbLogger(mode="online")
    with caplog.at_level(logging.WARNING, "diffusion"):
        logger.start(tmp_path, name="digits", config=CONFIG, resume=False)
    logger.finish()
    run_id = json.loads((tmp_path / "wandb.json").read_text())["id"]
    assert len(list(tmp_path.glob(f"wandb/offline-run-*-{run_id}"))) == 1
    assert [message.split(":")[0] for message in said(caplog)] == ["W&B cannot start online, so offline"]


def test_a_run_that_cannot_start_at_all_trains_on(stranger, tmp_path, caplog):
    import wandb

    def broken(**_):
        raise OSError("no space left on device")

    stranger.setattr(wandb, "init", broken)
    logger = WandbLogger(mode="offline")
    logger.start(tmp_path, name="digits", config=CONFIG, resume=False)
    logger.log(1, {"images": 4, "mse": 0.5})
    logger.images(1, "ema_0.9999", np.zeros((8, 8, 3), np.uint8), caption="")
    logger.alert("title", "text")
    logger.finish()
    assert said(caplog) == ["W&B cannot start offline, so off: no space left on device"]


def test_what_wandb_says_in_several_lines_is_one_short_line_without_keys(stranger, tmp_path, caplog):
    logger = WandbLogger(mode="offline", tags=("a", ""))
    logger.start(tmp_path, name="digits", config=CONFIG, resume=False)
    (line,) = said(caplog)
    assert line.startswith("W&B cannot start offline, so off: 1 validation error for Settings run_tags ")
    assert "\n" not in line and len(line) < 400
    assert first_line(ValueError(f"no\n  entry for {KEY}\n")) == "no entry for [removed]"
    assert first_line(ValueError("word " * 99)).endswith(" ...") and first_line(KeyError()) == "KeyError"


def test_a_service_that_dies_costs_one_warning(stranger, tmp_path, caplog):
    logger = WandbLogger(mode="offline")
    logger.start(tmp_path, name="digits", config=CONFIG, resume=False)

    def broken(*_, **__):
        raise ConnectionResetError("Connection lost")

    for method in ("log", "alert", "finish"):
        stranger.setattr(logger._run, method, broken)
    for step in (1, 2):
        logger.log(step, {"images": 4 * step, "mse": 0.5})
        logger.images(step, "ema_0.9999", np.zeros((8, 8, 3), np.uint8), caption="")
    logger.alert("title", "text")
    logger.finish()
    logger.finish()
    assert said(caplog) == ["Training goes on, but W&B misses records: Connection lost"]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_service_that_is_frozen_or_killed_costs_one_warning_and_nothing_at_the_end(
    stranger, tmp_path, caplog, capfd, number
):
    import wandb

    stranger.setattr("diffusion.tracking.service.SILENCE", 0.5)
    logger = WandbLogger(mode="offline")
    logger.start(tmp_path, name="digits", config=CONFIG, resume=False)
    process = wandb.setup().assert_service()._proc._process
    os.kill(process.pid, number)
    if number == signal.SIGKILL:
        process.wait()
    logger.log(1, {"images": 4, "mse": 0.5})
    before = time.monotonic()
    logger.finish()
    assert time.monotonic() - before < 5 and process.wait(60) == -signal.SIGKILL
    (line,) = said(caplog)
    upload = f"wandb sync --include-online {tmp_path}/wandb/*run-*-"
    assert number == signal.SIGKILL or f"does not answer, and is ended; upload what it wrote with: {upload}" in line
    assert "".join(capfd.readouterr()) == ""


SCRIPT = """
import logging, sys
from pathlib import Path
from diffusion.runs.metrics import MetricsFile
from diffusion.tracking.wandb_logger import WandbLogger
logging.basicConfig(level=logging.INFO, format="%(message)s")
logger = WandbLogger({arguments})
assert "wandb" not in sys.modules
logger.start(Path({folder!r}), name="digits", config={{}}, resume=False)
logger.log(1, {{"images": 4, "mse": 0.5}})
logger.finish()
print("trained; wandb imported:", "wandb" in sys.modules)
"""


def output_on_a_terminal(arguments: str, folder) -> str:
    """What a person who types nothing sees."""
    ours, theirs = pty.openpty()
    script = SCRIPT.format(arguments=arguments, folder=str(folder))
    subprocess.run([sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, timeout=120)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how Linux says that a terminal is closed
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    return shown.decode()


def test_without_a_key_a_terminal_sees_one_line_and_no_question(stranger, tmp_path):
    first, last = output_on_a_terminal("", tmp_path).splitlines()
    assert first.startswith("W&B: offline, upload with: wandb sync --include-online ")
    assert last == "trained; wandb imported: True"


def test_disabled_does_not_even_import_wandb(stranger, tmp_path):
    assert output_on_a_terminal("mode='disabled'", tmp_path).splitlines() == ["trained; wandb imported: False"]
    assert list(tmp_path.iterdir()) == []


def test_an_explicit_mode_wins_over_the_environment_and_that_over_the_account(stranger):
    stranger.setenv("WANDB_MODE", "offline")
    assert not is_online(None)
    stranger.setattr("wandb.login", lambda **_: True)
    assert is_online("online")
    stranger.delenv("WANDB_MODE")
    assert is_online(None)
    assert not is_online("offline")


def test_an_unknown_mode_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"logger.mode=of is unknown; use online, offline, disabled"):
        WandbLogger(mode="of")


@pytest.mark.parametrize("word", ["foo", ""])
def test_an_unknown_mode_in_the_environment_is_refused_where_wandb_would_read_it(stranger, word):
    stranger.setenv("WANDB_MODE", word)
    for mode in (None, "offline"):
        with pytest.raises(ValueError, match=rf"WANDB_MODE={word} is unknown; use online, offline or disabled"):
            WandbLogger(mode=mode)
    WandbLogger(mode="disabled")


def test_a_metric_is_shown_in_the_panel_of_its_kind():
    panels = {
        "mse": "loss/mse",
        "vb_q3": "loss_quartile/vb_q3",
        "lr": "optimizer/lr",
        "skipped_steps": "optimizer/skipped_steps",
        "grad_norm": "optimizer/grad_norm",
        "parameter_norm": "optimizer/parameter_norm",
        "images_per_second": "speed/images_per_second",
        "memory_gb": "speed/memory_gb",
        "tflops": "speed/tflops",
        "share_of_peak": "speed/share_of_peak",
        "samples/ema_0.9999": "samples/ema_0.9999",
        "images": "images",
        "step": "step",
    }
    assert {name: panel_name(name) for name in panels} == panels
