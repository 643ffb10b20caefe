"""The loop: a run that was broken off and resumed is the unbroken one."""

import os
import signal

import pytest
import torch
from tiny_training import tiny_run, tiny_trainer

from diffusion.runs import checkpoints
from diffusion.runs.metrics import MetricsFile
from diffusion.training.adamw import AdamW
from diffusion.training.loop import fit
from diffusion.training.preview import Preview


def same(one, other) -> bool:
    """Equal to the bit, all the way down."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def metrics(run):
    """What a run logged, but for what it cost."""
    lines = MetricsFile.read(run.folder / "metrics.jsonl")
    speeds = {"images_per_second", "tflops", "share_of_peak", "memory_gb"}
    return [{key: value for key, value in line.items() if key not in speeds} for line in lines]


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_a_resumed_run_equals_the_unbroken_one_to_the_bit(tmp_path, precision):
    unbroken = tiny_run(tmp_path / "unbroken")
    assert fit(tiny_trainer(max_steps=8, anneal_steps=8, precision=precision), unbroken) == 0

    broken = tiny_run(tmp_path / "broken")
    fit(tiny_trainer(max_steps=5, anneal_steps=8, precision=precision), broken)
    state = checkpoints.load_newest(broken.folder)
    assert state["schedule_sampler"]["counts"].min() == 2  # so the losses decide which t are drawn from here on
    resumed = tiny_run(tmp_path / "broken")
    fit(tiny_trainer(max_steps=8, anneal_steps=8, precision=precision), resumed, state)

    ends = [checkpoints.load_newest(run.folder) for run in (unbroken, resumed)]
    assert ends[0]["step"] == 8
    for key in ends[0]:
        assert same(ends[0][key], ends[1][key]), key
    assert metrics(unbroken) == metrics(resumed)
    assert [line["step"] for line in metrics(resumed)] == list(range(1, 9))


class Signalling(Preview):
    """Sends this process a signal after step `at`, as a user would."""

    def __init__(self, at):
        super().__init__(every=1)
        self.at = at

    def pictures(self, *_):
        self.at -= 1
        if self.at == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return []


def test_ctrl_c_saves_after_the_step_in_hand_and_the_run_goes_on_from_there(tmp_path):
    unbroken, run = tiny_run(tmp_path / "unbroken"), tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=6, log_every=2), unbroken)
    assert fit(tiny_trainer(max_steps=6, log_every=2, preview=Signalling(at=3)), run) == 128 + signal.SIGINT
    assert checkpoints.load_newest(run.folder)["step"] == 3
    resumed = tiny_run(tmp_path / "run")
    assert fit(tiny_trainer(max_steps=6, log_every=2), resumed, checkpoints.load_newest(run.folder)) == 0
    # Step 4 is the mean of steps 3 and 4, of which the one came before the signal.
    assert metrics(resumed) == metrics(unbroken)
    assert same(checkpoints.load_newest(run.folder)["model"], checkpoints.load_newest(unbroken.folder)["model"])


def test_lines_logged_after_the_checkpoint_are_logged_again_and_not_twice(tmp_path):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=5, save_every=2), run)
    checkpoints.list_checkpoints(run.checkpoints)[-1].unlink()  # as if killed between step 4 and 5
    again = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=6, save_every=2), again, checkpoints.load_newest(run.folder))
    assert [line["step"] for line in metrics(again)] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_stays_as_it_is(tmp_path):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=2), run)
    files = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.pt")}
    assert fit(tiny_trainer(max_steps=2), tiny_run(tmp_path / "run"), checkpoints.load_newest(run.folder)) == 0
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.pt")} == files
    assert [line["step"] for line in metrics(run)] == [1, 2]


def test_checkpoints_lines_and_pictures_come_when_they_are_due_and_at_the_end(tmp_path):
    run = tiny_run(tmp_path / "run")
    # With keep_every=1 no state is dropped for a newer one while the disk is busy.
    fit(tiny_trainer(max_steps=7, log_every=2, save_every=3, keep_every=1, preview=Preview(every=4, images=2)), run)
    assert [checkpoints.checkpoint_step(path) for path in checkpoints.list_checkpoints(run.checkpoints)] == [
        3, 4, 6, 7,
    ], "what takes long, as the pictures of step 4, comes after a save"  # fmt: skip
    assert [line["step"] for line in metrics(run)] == [2, 4, 6, 7]
    assert sorted(path.name for path in (run.folder / "samples").iterdir()) == [
        f"step_{step:08d}_{name}.png"
        for step in (4, 7)
        for name in ("ema_0.5", "ema_0.9", "raw", "schedule_sampler", "strip_ema_0.9")
    ]


def test_previews_change_nothing(tmp_path):
    ends = []
    for every in (0, 1):
        run = tiny_run(tmp_path / str(every))
        fit(tiny_trainer(max_steps=3, preview=Preview(every=every, images=2)), run)
        ends.append(checkpoints.load_newest(run.folder)["model"])
    assert same(*ends)


def test_a_line_counts_images_and_holds_every_reading(tmp_path, measured_speed):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=3, anneal_steps=50, log_every=3), run)
    (line,) = MetricsFile.read(run.folder / "metrics.jsonl")
    assert line["images"] == 12 and line["images_per_second"] > 0 and line["memory_gb"] > 0
    assert line["tflops"] > 0 and 0 < line["share_of_peak"] < 1
    assert {"loss", "mse", "vb", "grad_norm", "param_norm", "lr"} < line.keys()
    assert line["lr"] == pytest.approx(1e-3 * 3 / 4 * (1 - 2 / 50))  # warm-up and annealing, at the third step


def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(tmp_path):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=2), run)
    spoilt = tiny_run(tmp_path / "run")
    state = checkpoints.load_newest(run.folder)
    spoilt.diffusion.loss.vlb_weight = float("nan")
    with pytest.raises(ValueError, match=r"the loss of step 2 is nan.*holds step 2.*lower train\.optimizer\.lr"):
        fit(tiny_trainer(max_steps=5), spoilt, state)
    assert checkpoints.load_newest(run.folder)["step"] == 2
    with pytest.raises(ValueError, match="there is no checkpoint yet"):
        fit(tiny_trainer(max_steps=5), tiny_run(tmp_path / "new", diffusion=spoilt.diffusion))


def test_weights_that_blew_up_are_not_saved_over_the_last_good_ones(tmp_path):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=2), run)
    again = tiny_run(tmp_path / "run")
    # A step of this size leaves weights that are finite, and useless; the loss says so one step later.
    wild = tiny_trainer(max_steps=9, optimizer=lambda weights: AdamW(weights, lr=1e30), clip_grad_norm=None)
    with pytest.raises(ValueError, match="holds step 2"):
        fit(wild, again, checkpoints.load_newest(run.folder))
    assert [checkpoints.checkpoint_step(path) for path in checkpoints.list_checkpoints(run.checkpoints)] == [2]


def test_a_step_that_spoils_the_weights_is_never_saved_over_a_good_file(tmp_path):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=2, keep=1), run)
    spoilt = tiny_trainer(
        max_steps=3,
        keep=1,
        optimizer=lambda weights: AdamW(weights, lr=float("inf")),
        clip_grad_norm=None,
        warmup_steps=0,
    )
    words = r"the weights of step 3 are not finite; the last finite loss is that of step 2; .*holds step 2; go on with"
    with pytest.raises(ValueError, match=words):
        fit(spoilt, tiny_run(tmp_path / "run"), checkpoints.load_newest(run.folder))
    assert [path.name for path in run.checkpoints.iterdir()] == ["step_00000002.pt"]


def test_an_average_that_is_spoilt_is_no_snapshot(tmp_path):
    run = tiny_run(tmp_path / "run")
    wild = tiny_trainer(
        max_steps=2, snapshot_every=1, ema_widths=(0.1,), optimizer=lambda weights: AdamW(weights, lr=float("inf")),
        clip_grad_norm=None, warmup_steps=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"the weights of step 1 are not finite; .*there is no checkpoint yet"):
        fit(wild, run)
    assert not (run.folder / "snapshots").exists()


def test_weights_that_are_spoilt_from_the_beginning_are_not_trained(tmp_path):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=2), run)
    state = checkpoints.load_newest(run.folder)
    next(iter(state["ema"]["0.5"].values())).fill_(float("nan"))
    with pytest.raises(ValueError, match=r"checkpoints \(step 2\) holds weights that are not finite"):
        fit(tiny_trainer(max_steps=3), tiny_run(tmp_path / "run"), state)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 6, "microbatch": 4}, r"batch_size=6 is not a multiple of train\.microbatch=4"),
        ({"batch_size": 0}, r"train\.batch_size=0 must be at least 1"),
        (
            {"anneal_steps": 4},
            r"train\.anneal_steps=4 [^\n]* before train\.max_steps=null; set train\.max_steps=4, or ",
        ),
        ({"anneal_steps": 4, "max_steps": 5}, r"train\.anneal_steps=4 [^\n]* before train\.max_steps=5; "),
        ({"microbatch": -1}, "microbatch=-1"),
        ({"log_every": 0}, r"train\.log_every=0"),
        ({"save_every": 0}, r"train\.save_every=0"),
        ({"keep": 0}, r"train\.keep=0"),
        ({"precision": "half"}, r"train\.precision=half is none of"),
    ],
)
def test_impossible_settings_say_what_to_type(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_trainer(**options)


def test_fewer_images_than_a_batch_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match=r"12 images do not fill a batch of 16; set train\.batch_size=12"):
        fit(tiny_trainer(batch_size=16, max_steps=1), tiny_run(tmp_path / "run"))


class Failing(Preview):
    def pictures(self, *_):
        raise OSError(28, "No space left on device")


def test_a_preview_that_fails_costs_pictures_and_nothing_else(tmp_path, caplog):
    run = tiny_run(tmp_path / "run")
    assert fit(tiny_trainer(max_steps=3, preview=Failing(every=1)), run) == 0
    assert checkpoints.load_newest(run.folder)["step"] == 3
    assert "without the preview of step 3" in caplog.text


def test_data_that_cannot_be_read_stop_the_run_with_all_its_steps_saved(tmp_path):
    run = tiny_run(tmp_path / "run")
    whole = run.images.read
    reads = iter(range(100))

    def read(indices):
        if next(reads) == 3:
            raise ValueError("cannot read cat.png")
        return whole(indices)

    run.images.read = read
    with pytest.raises(ValueError, match=r"cat\.png"):
        fit(tiny_trainer(max_steps=9), run)
    assert checkpoints.load_newest(run.folder)["step"] == 3


def test_a_damaged_newest_file_is_set_aside_and_its_step_saved_again(tmp_path):
    run = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=4, save_every=2, keep=1, keep_every=2), run)
    newest = checkpoints.list_checkpoints(run.checkpoints)[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    again = tiny_run(tmp_path / "run")
    fit(tiny_trainer(max_steps=4, save_every=2, keep=1), again, checkpoints.load_newest(run.folder))
    assert checkpoints.load_newest(run.folder)["step"] == 4
    assert [path.name for path in run.checkpoints.glob("*.damaged")] == ["step_00000004.damaged"]


def test_a_preview_that_a_kill_kept_from_being_drawn_is_drawn_when_the_run_goes_on(tmp_path):
    run, trainer = tiny_run(tmp_path / "run"), tiny_trainer(max_steps=2, preview=Preview(every=2, images=2))
    fit(trainer, run)
    pictures = sorted((run.folder / "samples").iterdir())
    cut_short = [path for path in pictures if "raw" not in path.name]
    for path in cut_short:
        path.unlink()
    state = checkpoints.load_newest(run.folder)
    fit(trainer, tiny_run(run.folder), state)
    assert sorted((run.folder / "samples").iterdir()) == pictures and len(cut_short) > 1
    drawn = [path.stat().st_mtime_ns for path in pictures]
    fit(trainer, tiny_run(run.folder), state)
    assert [path.stat().st_mtime_ns for path in pictures] == drawn


def test_what_a_schedule_sampler_learned_in_one_run_is_not_known_to_the_next(tmp_path):
    trainer, ends = tiny_trainer(max_steps=4), []
    for name in ("one", "two"):
        fit(trainer, tiny_run(tmp_path / name))
        ends.append(checkpoints.load_newest(tmp_path / name))
    assert ends[0]["schedule_sampler"]["counts"].min() > 0
    assert same(ends[0]["model"], ends[1]["model"]) and same(ends[0]["schedule_sampler"], ends[1]["schedule_sampler"])


@pytest.mark.parametrize(
    "options, said",
    [
        ({"snapshot_every": 2}, r"set 'train\.ema_widths=\[0\.05,0\.1\]'"),
        ({"compile": True, "detect_anomaly": True}, r"leave train\.compile out"),
    ],
)
def test_settings_that_would_change_nothing_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        tiny_trainer(**options)
