"""What a run folder holds of earlier starts, and the best values among them."""

from diffusion.tracking.history import logged_before
from diffusion.tracking.wandb_logger import improved
from diffusion.tracking.wandb_run import run_id


def test_a_folder_gives_back_its_rows_and_pictures_by_step(tmp_path):
    (tmp_path / "samples").mkdir()
    for name in ("step_00000002_raw.png", "step_00000002_strip_ema_0.9.png", "step_00000009_raw.png", "grid.png"):
        (tmp_path / "samples" / name).touch()
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "loss": 1}\n{"step": 2, "bits_per_dim": 3}\n{"step": 1}\n{"st')
    assert logged_before(tmp_path, 9) == [
        (1, {"step": 1}, "quality"), (2, {"step": 2, "loss": 1}, None), (2, {"step": 2, "bits_per_dim": 3}, "quality"),
        (2, "raw", tmp_path / "samples" / "step_00000002_raw.png", "step 2, raw"),
        (2, "strip_ema_0.9", tmp_path / "samples" / "step_00000002_strip_ema_0.9.png", "step 2, strip_ema_0.9"),
    ]  # fmt: skip
    assert logged_before(tmp_path / "none", 9) == []


def test_a_resumed_run_has_the_id_of_its_folder_and_any_other_a_new_one(tmp_path):
    file = tmp_path / "wandb.json"
    first = run_id(file, resume=True)
    assert not first[1] and run_id(file, resume=True) == (first[0], True)
    assert run_id(file, resume=False)[0] != first[0]
    file.write_text("[]")
    assert not run_id(file, resume=True)[1]


def test_the_best_of_a_loss_is_its_least_and_of_an_accuracy_its_greatest():
    bests = improved({"loss/mse": 2.0, "quality/recognised": 0.5, "optimizer/lr": 1.0, "images": 3}, {})
    assert bests == {"best/loss/mse": 2.0, "best/quality/recognised": 0.5}
    assert improved({"loss/mse": 3.0, "quality/recognised": 0.6}, bests) == {"best/quality/recognised": 0.6}
    assert improved({"loss/mse": float("nan"), "quality/recognised": float("inf")}, bests) == {}
