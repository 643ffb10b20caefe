"""What is read from run folders, whole or torn."""

import json
import logging
import math
import os

import pytest

from diffusion.report.runs import find_runs, read_run


def run_folder(folder, *lines, **outcome):
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if outcome:
        (folder / "outcome.json").write_text(json.dumps(outcome))
    return folder


def test_a_torn_line_costs_itself_only(tmp_path):
    folder = run_folder(tmp_path / "run", {"step": 2, "loss": 1.0}, {"step": 4, "loss": math.nan})
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(
            b'{"step": 6, "lo\n\xff\xfe\x00\n[1]\n{"step": null, "loss": 1}\n{"loss": 2}\n{"step": 8, "loss": 3}'
        )
    lines = read_run(folder).logged
    assert [line["step"] for line in lines] == [2, 4, 8] and math.isnan(lines[1]["loss"])


def test_lines_of_a_step_are_one_and_the_later_counts(tmp_path):
    folder = run_folder(
        tmp_path / "run", {"step": 4, "loss": 1}, {"step": 2, "loss": 3}, {"step": 4, "loss": 2, "lr": 1}
    )
    assert read_run(folder).logged == [{"step": 2, "loss": 3}, {"step": 4, "loss": 2, "lr": 1}]


def test_quality_is_what_was_logged_apart_from_the_loss_and_what_evaluations_found(tmp_path):
    lines = [{"step": 5, "images": 50, "loss": 1.0}, {"step": 5, "images": 50, "recognised": 0.5}]
    folder = run_folder(tmp_path / "run", *lines)
    place = folder / "evaluation" / "likelihood_9_images_step_10"
    place.mkdir(parents=True)
    result = {"bits_per_dim": 2.5, "standard_error": 0.1, "num_images": 9, "step": 10}
    (place / "result.json").write_text(json.dumps(result))
    assert read_run(folder).measured == {
        ("recognised", ""): [(50, 0.5)],
        ("bits_per_dim", "likelihood_9_images"): [(100, 2.5)],
    }


def test_what_real_images_come_to_is_read_beside_what_drawn_ones_do(tmp_path):
    lines = (
        {"step": 5, "images": 50, "loss": 1.0},
        {"step": 5, "recall_x": 0.5, "real_recall_x": 0.9, "noise_recall_x": 0},
    )
    place = run_folder(tmp_path / "run", *lines) / "evaluation" / "quality_9_images_step_10"
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps({"fid_y": 2.5, "real_fid_y": 0.5, "real_images": 9, "step": 10}))
    run = read_run(tmp_path / "run")
    assert run.measured.keys() == run.real.keys() == {("recall_x", ""), ("fid_y", "quality_9_images")}
    assert list(run.real.values()) == [0.9, 0.5]


@pytest.mark.parametrize("value", [2.5, math.nan])
def test_what_was_measured_while_training_is_told_once(tmp_path, value):
    folder = run_folder(tmp_path / "run", {"step": 10, "images": 100, "bits_per_dim": value})
    for name, figure in (("likelihood_9_images", value), ("likelihood_8_images", 3.5)):
        place = folder / "evaluation" / name
        place.mkdir(parents=True)
        (place / "result.json").write_text(json.dumps({"bits_per_dim": figure, "step": 10}))
    assert [setting for _, setting in read_run(folder).measured] == ["", "likelihood_8_images"]
    again = folder / "evaluation" / "other_9_images"  # another result of the same value is another result
    again.mkdir()
    (again / "result.json").write_text(json.dumps({"bits_per_dim": value, "step": 10}))
    assert [setting for _, setting in read_run(folder).measured] == ["", "likelihood_8_images", "other_9_images"]


@pytest.mark.parametrize(
    "told, state", [({}, "unfinished"), ({"state": "failed", "message": "a\n\x1b[31mb"}, "failed")]
)
def test_the_state_is_what_the_run_told(tmp_path, told, state):
    run = read_run(run_folder(tmp_path / "run", {"step": 4, "loss": 1.0}, **told))
    assert run.state == state and run.message == (r"a \x1b[31mb" if told else "")


def test_the_time_is_that_of_the_images(tmp_path):
    lines = [{"step": s, "images": 10 * s, "loss": 1, "images_per_second": v} for s, v in [(1, 5), (2, 10), (3, 0)]]
    assert read_run(run_folder(tmp_path / "run", *lines)).seconds == 10 / 5 + 10 / 10


def test_each_run_is_found_once_and_what_is_none_is_named_at_its_top(tmp_path):
    runs = [run_folder(tmp_path / name) for name in ("a", "b/c")]
    (tmp_path / "none" / "deep").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    assert find_runs([tmp_path, tmp_path / "a"]) == (runs, [tmp_path / "none"])
    with pytest.raises(ValueError, match="is no folder"):
        find_runs([tmp_path / "nowhere"])


def test_nothing_in_a_folder_is_worth_a_crash(tmp_path):
    folder = run_folder(tmp_path / "run")
    for name in ("config.yaml", "outcome.json", "metrics.jsonl"):
        for content in (b"", b"\xff\x00", b"[]", b"a: [", b"train: 3", b'{"step": "x", "state": " "}'):
            (folder / name).write_bytes(content)
            run = read_run(folder)
            assert (run.state, run.step, run.seconds, run.measured) == ("unfinished", 0, 0, {})


def test_a_warning_names_what_cannot_be_read_once_a_folder(tmp_path, caplog):
    folder = run_folder(tmp_path / "run", {"step": 2, "loss": 1.0})
    (folder / "config.yaml").write_text("a: &a [*a]")
    os.mkfifo(folder / "outcome.json")
    assert (read_run(folder).step, read_run(tmp_path).step) == (2, 0)
    assert caplog.messages == [f"{folder}: left out what is damaged or cannot be read: config.yaml, outcome.json"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("step", [True, -1, 10**400, 1e308, math.nan, "3", None])
def test_a_step_that_cannot_be_is_none(tmp_path, step):
    run = read_run(run_folder(tmp_path / "run", {"step": 2, "loss": 1.0}, {"step": step, "loss": 2.0}, step=step))
    assert run.step == 2 and len(run.logged) == 1


def test_folders_may_lie_deeper_than_calls_do(tmp_path):
    deep = tmp_path
    for _ in range(600):
        deep = deep / "d"
        deep.mkdir()
    assert find_runs([tmp_path]) == ([], [tmp_path])
    run_folder(deep / "run")
    assert find_runs([tmp_path]) == ([deep / "run"], [])
