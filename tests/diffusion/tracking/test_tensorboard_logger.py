"""What TensorBoard reads back of a run."""

import errno
import logging
import sys

import numpy as np
import pytest
from wandb_stand_in import KEY

from diffusion.pictures.grid import save_picture
from diffusion.runs.metrics import MetricsFile
from diffusion.tracking.loggers import Loggers
from diffusion.tracking.tensorboard_logger import TensorBoardLogger

PICTURE = np.full((8, 8, 3), 7, np.uint8)


def started(folder, *, resume: bool = False) -> TensorBoardLogger:
    logger = TensorBoardLogger()
    logger.start(folder, name="digits", config={"seed": 3, "note": f"api_key={KEY}"}, resume=resume)
    return logger


def train(folder, *steps: int, resume: bool = False) -> None:
    """What a run does to its folder and its logger, but for the end."""
    metrics, logger = MetricsFile(folder / "metrics.jsonl"), started(folder, resume=resume)
    metrics.rewind(steps[0] - 1)
    for step in steps:
        values = {"images": 4 * step, "loss": 1 / step, "grad_norm": float("nan")}
        metrics.write(step, values)
        logger.log(step, values)
    save_picture(folder / "samples" / f"step_{steps[-1]:08d}_raw.png", PICTURE)
    logger.images(steps[-1], "samples/raw", PICTURE, f"step {steps[-1]}")
    metrics.write(steps[-1], {"recognised": 0.9})
    logger.log(steps[-1], {"recognised": 0.9}, "quality")
    logger.alert("Gone wrong", f"api_key={KEY}")


def read_back(folder):
    """The events, as TensorBoard's own page loads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return events.Reload()


def curve(events, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def text(events, name: str) -> str:
    return events.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0].decode()


def test_metrics_pictures_settings_and_alerts_are_read_back_without_keys(tmp_path):
    train(tmp_path, 1, 2, 4)
    events = read_back(tmp_path)
    assert curve(events, "loss/loss") == [(1, 1), (2, 0.5), (4, 0.25)] and curve(events, "images")[-1] == (4, 16)
    assert curve(events, "quality/recognised") == [(4, pytest.approx(0.9))] and "step" not in events.Tags()["scalars"]
    (picture,) = events.Images("samples/raw")
    assert (picture.step, picture.width, text(events, "samples/raw")) == (4, 8, "step 4")
    assert "seed: 3" in text(events, "config") and "[removed]" in text(events, "alerts/Gone wrong")
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert KEY.encode() not in file.read_bytes()


def test_a_resumed_run_has_every_step_once_whatever_logged_it_before(tmp_path):
    train(tmp_path, 1, 2, 3)  # killed, and resumed from a checkpoint of step 2
    train(tmp_path, 3, 4, resume=True)
    events = read_back(tmp_path)
    assert [step for step, _ in curve(events, "loss/loss")] == [1, 2, 3, 4]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    for file in (tmp_path / "tensorboard").iterdir():
        file.unlink()
    logger = started(tmp_path, resume=True)  # of a run that another logger watched, and that has nothing left to do
    logger.finish()
    assert curve(read_back(tmp_path), "loss/loss") == curve(events, "loss/loss")
    assert [image.step for image in read_back(tmp_path).Images("samples/raw")] == [3, 4]


def test_a_full_disk_costs_one_warning(tmp_path, caplog, monkeypatch):
    loggers = Loggers(TensorBoardLogger())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    with caplog.at_level(logging.WARNING):
        loggers.start(tmp_path, name="digits", config={}, resume=False)
        loggers.log(1, {"mse": 1.0})
        loggers.finish()
    assert caplog.messages == [
        "Training goes on, but TensorBoardLogger misses records: [Errno 28] No space left on device"
    ]


def test_without_the_package_it_is_refused_with_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ValueError, match=r'^logger=tensorboard needs its package; type: pip install -e "\.\[tensor'):
        TensorBoardLogger()
