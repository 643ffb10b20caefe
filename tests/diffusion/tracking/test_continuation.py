import struct

import pytest

from diffusion.tracking.continuation import logged_before, read_identity
from diffusion.tracking.panels import Bests
from diffusion.tracking.torn import BLOCK, HEADER, mend, whole_length

FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def chunk(length: int, kind: int) -> bytes:
    return struct.pack("<IHB", 0, length, kind) + bytes(length)


def filled(log: bytes) -> bytes:
    """The log up to a block's end, by one record in as many chunks as that takes."""
    return log + chunk(BLOCK - len(log) % BLOCK - HEADER, FULL)


def test_a_whole_log_stays_as_it_is_and_a_torn_one_loses_its_last_record():
    header = b":W&B\0\0\0"
    whole = header + chunk(10, FULL) + chunk(20, FIRST) + chunk(5, LAST)
    assert whole_length(whole) == len(whole)
    for torn in (b"\0" * 3, chunk(30, FULL)[:-1], chunk(30, FIRST), chunk(30, FIRST) + chunk(9, LAST)[:-2]):
        assert whole_length(whole + torn) == len(whole)
    block = filled(whole)
    assert len(block) == BLOCK and whole_length(block + chunk(3, FULL)) == BLOCK + HEADER + 3
    assert whole_length(header + chunk(BLOCK - 2 * HEADER - 3, FULL) + bytes(3) + chunk(4, FULL)) == BLOCK + HEADER + 4


@pytest.mark.parametrize(
    "kept, remains", [(b":W&B\0\0\0" + chunk(4, FULL), True), (b":W&B\0\0\0", False), (b"", False)]
)
def test_a_part_without_a_whole_record_is_removed(tmp_path, kept, remains):
    part = tmp_path / "offline-run-1-id"
    part.mkdir()
    (part / "run-id.wandb").write_bytes(kept + (chunk(9, FIRST) if remains else b""))
    mend(part)
    assert part.exists() is remains
    assert not remains or (part / "run-id.wandb").read_bytes() == kept


def test_a_folder_gives_back_its_lines_and_pictures_by_step(tmp_path):
    (tmp_path / "samples").mkdir()
    for name in ("step_00000002_raw.png", "step_00000002_strip_ema_0.9.png", "step_00000009_raw.png", "grid.png"):
        (tmp_path / "samples" / name).touch()
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "loss": 1}\n{"step": 2, "bits_per_dim": 3}\n{"step": 1}\n{"st')
    first, second = logged_before(tmp_path, 9)
    assert (first.step, first.lines, first.pictures) == (1, [{"step": 1}], {})
    assert second.step == 2 and len(second.lines) == 2 and list(second.pictures) == ["raw", "strip_ema_0.9"]


def test_a_folder_without_an_identity_gets_a_new_one(tmp_path):
    assert read_identity(tmp_path / "wandb.json").step == -1
    (tmp_path / "wandb.json").write_text("[]")
    assert read_identity(tmp_path / "wandb.json").id != read_identity(tmp_path / "wandb.json").id


def test_the_best_of_a_loss_is_its_least_and_of_an_accuracy_its_greatest():
    bests = Bests()
    row = {"loss/mse": 2.0, "quality/recognised": 0.5, "optimizer/lr": 1.0, "images": 3}
    assert bests.improved(row) == {"best/loss/mse": 2.0, "best/quality/recognised": 0.5}
    assert bests.improved({"loss/mse": 3.0, "quality/recognised": 0.6}) == {"best/quality/recognised": 0.6}
    assert bests.improved({"loss/mse": float("nan"), "quality/recognised": float("inf")}) == {}
