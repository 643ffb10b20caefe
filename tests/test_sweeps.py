"""Sweeps: their names, what a finished run is, what a launcher's process does, and one sweep as a user types it."""

from __future__ import annotations

import io
import json
import re
import signal
from pathlib import Path

import hydra
import pytest
from commands import ROOT, command
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from diffusion.cli import sweep_worker
from diffusion.cli.sweep import Note, Sweep, best_line, check_folders, final_note, mark_dead_run, maximizes
from diffusion.cli.user_errors import one_line
from diffusion.config import resume
from diffusion.config.resolvers import register_resolvers
from diffusion.runs import status
from diffusion.runs.files import lock_folder
from diffusion.runs.metrics import objective_value

CONF = ROOT / "conf"
CONFIG = {"train": {"max_steps": 4, "log_every": 1}, "model": {"heads": 2, "image_size": "???"}, "seed": 0}


def multirun(*words: str) -> DictConfig:
    """The configuration that Hydra begins the sweep of these words with."""
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return loader.load_configuration("train", list(words), RunMode.MULTIRUN, validate_sweep_overrides=False)


TINY = (
    "train=debug", "data.image_size=8", "device=cpu", "train.max_steps=1", "train.warmup_steps=0",
    "train.preview.every=0",
)  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A finished run of four steps that CONFIG describes."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step_00000004.pt").touch()
    (tmp_path / "config.yaml").write_text(json.dumps({**CONFIG, "model": {"heads": 2, "image_size": 16}}))
    status.write_status(tmp_path, "finished", max_steps=4)
    return tmp_path


def test_what_is_finished_is_known_by_its_folder(run):
    assert status.finished_step(run, CONFIG) == 4
    assert status.finished_step(run, {**CONFIG, "train": {"max_steps": 3, "log_every": 99}}) == 4


def test_settings_that_a_finished_run_has_no_more_use_for_leave_it_finished(run):
    train = {"max_steps": 4, "microbatch": 8, "compile": True, "detect_anomaly": True, "keep": 1}
    assert status.finished_step(run, {**CONFIG, "train": train, "sampler": {"steps": 9}, "objective": "loss"}) == 4


@pytest.mark.parametrize("typed, step", [([-2, -1], 4), ([8, 4], 4), ([-1], None), ([16], None)])
def test_sizes_counted_from_the_coarsest_are_those_of_the_finished_run(run, typed, step):
    model = {"_target_": "unet.UNet", "channel_mult": [1, 2, 2], "attention_resolutions": typed, "checkpoint": []}
    built = {**model, "image_size": 16, "attention_resolutions": [8, 4]}
    (run / "config.yaml").write_text(json.dumps({**CONFIG, "model": built}))
    config = {**CONFIG, "model": {**model, "image_size": "???"}}
    assert status.finished_step(run, config, comparable=resume.comparable_settings) == step


def test_what_lacks_steps_or_is_another_experiment_is_not_finished(run):
    assert status.finished_step(run, {**CONFIG, "train": {"max_steps": 5}}) is None
    assert status.finished_step(run, {**CONFIG, "train": {"max_steps": None}}) is None
    assert status.finished_step(run, {**CONFIG, "seed": 1}) is None
    (run / "config.yaml").write_text("[")
    assert status.finished_step(run, CONFIG) is None
    assert status.finished_step(run / "nowhere", CONFIG) is None


@pytest.mark.parametrize("state", ["running", "stopped", "failed"])
def test_what_has_not_ended_well_is_not_finished(run, state):
    status.write_status(run, state, max_steps=4)
    assert status.finished_step(run, CONFIG) is None


def test_the_objective_is_the_last_value_logged(tmp_path):
    lines = [{"step": 1, "images": 8, "loss": 2.0}, {"step": 2, "images": 16, "loss": 1.5}, {"step": 2, "fid": 9}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert objective_value(tmp_path, "loss") == 1.5
    assert objective_value(tmp_path, "fid") == 9.0
    with pytest.raises(ValueError, match=r"objective=bits is not logged; this run logs fid, loss; .*evaluations"):
        objective_value(tmp_path, "bits")


def test_a_run_that_was_killed_counts_as_failed_and_one_that_was_stopped_does_not(tmp_path):
    note = Note(0, str(tmp_path), "running", "")
    assert final_note(note).state == "failed"
    status.write_status(tmp_path, "stopped", max_steps=4)
    assert final_note(note).state == "stopped"
    assert final_note(note._replace(state="finished")).state == "finished"


def test_a_run_that_was_killed_is_told_to_have_failed_unless_it_lives_on(run):
    status.write_status(run, "running", max_steps=9)
    with lock_folder(run):
        mark_dead_run(run, may_live=True)
        assert status.read_status(run)["state"] == "running"
    mark_dead_run(run, may_live=True)
    told = {"state": "failed", "step": 4, "max_steps": 9, "message": "it ended without a word", "objective": None}
    assert status.read_status(run) == told
    status.write_status(run, "stopped", max_steps=9)
    mark_dead_run(run, may_live=False)
    assert status.read_status(run)["state"] == "stopped"


def test_the_table_of_a_sweep_tells_which_run_was_killed(run, tmp_path, capsys):
    status.write_status(run, "running", max_steps=9)
    sweep = Sweep()
    sweep.notes, sweep.page, sweep.title = tmp_path / "notes.jsonl", tmp_path / "page.html", "Sweep over seed=0,1"
    sweep.objective, sweep.maximize, sweep.jobs_live_on = None, False, False
    sweep.notes.write_text(json.dumps(Note(0, str(run), "running", "")) + "\n")
    assert sweep.show() == ["failed"]
    assert re.search(r" failed .*\n\n.*: it ended without a word", capsys.readouterr().out)
    page = sweep.page.read_text()
    assert "it ended without a word" in page and "<h1>Sweep over seed=0,1</h1>" in page


def test_the_last_note_on_a_run_is_the_valid_one(tmp_path):
    sweep = Sweep()
    sweep.notes = tmp_path / "notes.jsonl"
    notes = [Note(1, "b", "running", ""), Note(0, "a", "finished", ""), Note(1, "b", "failed", "why")]
    sweep.notes.write_text("".join(json.dumps(note) + "\n" for note in notes))
    assert [run.state for run in sweep.runs()] == ["finished", "failed"]


def test_the_best_run_is_the_finished_one_with_the_smallest_objective_or_the_largest(tmp_path):
    runs = []
    for number, (state, loss) in enumerate(
        [("finished", 2.0), ("finished", 1.5), ("failed", 0.1), ("finished", "NaN")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "metrics.jsonl").write_text(f'{{"step": 1, "images": 8, "loss": {loss}}}\n')
        runs.append(Note(number, str(folder), state, ""))
    assert best_line(runs, "loss", maximize=False) == f"Best objective: loss=1.5 in {tmp_path / '1'}"
    assert best_line(runs, "loss", maximize=True) == f"Best objective: loss=2 in {tmp_path / '0'}"
    assert best_line(runs, "fid", maximize=False) is None
    assert best_line(runs, None, maximize=False) is None


def test_the_direction_is_that_of_the_sweeper_or_else_of_the_objective():
    search = ("hydra/sweeper=search", "objective=recognised")
    assert not maximizes(multirun(*search))
    assert maximizes(multirun(*search, "hydra.sweeper.direction=maximize"))
    assert maximizes(multirun("objective=recognised"))
    assert not maximizes(multirun("objective=loss")) and not maximizes(multirun())


def test_each_line_of_a_parallel_run_tells_which_run_it_is(monkeypatch):
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: type("", (), {"job": type("", (), {"num": 3})}))
    stream = sweep_worker.LabelledStream(io.StringIO())
    print("one\n\ntwo", file=stream, end="")
    assert stream.getvalue() == "[3] one\n\n[3] two" and not stream.isatty()


def test_who_waits_for_the_signal_that_ended_a_run_hears_of_it(monkeypatch):
    heard = []
    monkeypatch.setattr(signal, "raise_signal", heard.append)
    sweep_worker.forward_requeue_signal(128 + signal.SIGUSR2)
    assert heard == []  # nobody waits
    monkeypatch.setattr(signal, "getsignal", lambda number: print)
    sweep_worker.forward_requeue_signal(128 + signal.SIGTERM)
    sweep_worker.forward_requeue_signal(128 + signal.SIGUSR2)
    assert heard == [signal.SIGUSR2]


def test_a_sweep_goes_on_after_a_failure_shows_all_and_started_again_runs_what_is_missing(tmp_path):
    done = command(tmp_path, "train.py", "-m", "model.heads=3,2,4", *TINY)
    assert done.returncode == 1
    assert "train: 64 channels cannot be shared by 3 heads" in done.stderr
    assert re.search(r"heads-2 .*finished", done.stdout) and re.search(r"heads-3 .*failed", done.stdout)
    (page,) = (tmp_path / "runs").glob("sweep+*.html")
    assert f"The sweep's page: {page}" in done.stdout and "<h1>Sweep over model.heads=3,2,4</h1>" in page.read_text()
    assert done.stderr.endswith("train: 1 of the sweep's 3 runs failed; the same command runs what is missing\n")

    weights = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/checkpoints/*")}
    (unfinished,) = (tmp_path / "runs").glob("*heads-4*")
    status.write_status(unfinished, "running", max_steps=1)
    again = command(tmp_path, "train.py", "-m", "model.heads=4,2", *TINY)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("Resuming") == 1 and again.stderr.count("is finished, at step") == 1
    assert {path: path.stat().st_mtime_ns for path in weights} == weights


@pytest.mark.parametrize(
    "word, message",
    [
        ("seed=1,2", "'seed=1,2' gives several values; add -m"),
        ("hydra/launcher=lsf", "there is no hydra/launcher lsf; there are .*two_at_once"),
    ],
)
def test_a_mistake_about_sweeps_is_one_line(word, message):
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(HydraException) as caught:
        hydra.compose("train", [word])
    assert re.match(message, one_line(caught.value))


def test_a_missing_plugin_is_named_with_what_to_type():
    error = MissingConfigException("", missing_cfg_file="hydra/launcher/joblib")
    assert one_line(error) == 'hydra/launcher=joblib needs a plugin; type: pip install -e ".[sweep]"'


def test_a_search_needs_an_objective():
    config = OmegaConf.create({"hydra": {"sweeper": {"_target_": "optuna"}}, "objective": None})
    with pytest.raises(SystemExit, match="set objective=loss"):
        Sweep().on_multirun_start(config)


@pytest.mark.parametrize(
    "words",
    [
        ["name=foo", "train.optimizer.lr=1e-3,1e-2"],
        ["seed=range(0,3)", "name='foo'"],
        ["name=foo", "experiment=digits_ablation"],
        ["name=foo", "hydra/sweeper=search", "objective=loss", "train.optimizer.lr=interval(1e-4,1e-2)"],
    ],
)
def test_several_runs_cannot_share_one_folder(words):
    with pytest.raises(SystemExit, match=r"name=foo would be one folder .*leave it out"):
        Sweep().on_multirun_start(multirun(*words))


@pytest.mark.parametrize(
    "words",
    [
        ["name=foo", "seed=1"],
        ["name=foo,bar"],
        ["name=foo_${seed}", "seed=1,2"],
        ["name=foo", "runs=here,there"],
        ["seed=1,2"],
        ["experiment=digits_ablation"],
        ["hydra/sweeper=search", "objective=loss", "seed=1,2"],
        ["hydra/sweeper=search", "objective=loss", "name=foo", "hydra.sweeper.n_trials=1"],
    ],
)
def test_a_name_is_free_where_the_runs_have_a_folder_each(words):
    check_folders(multirun(*words))


def test_a_search_all_of_whose_runs_fail_says_why_once_for_each_and_how_many(tmp_path):
    search = ("hydra/sweeper=search", "hydra.sweeper.n_trials=2", "objective=loss", "model.heads=choice(3,5)")
    done = command(tmp_path, "train.py", "-m", *search, *TINY)
    assert done.returncode == 1
    assert done.stderr.endswith("train: 2 of the sweep's 2 runs failed; the same command runs what is missing\n")
    assert done.stderr.count("\ntrain: 64 channels cannot be shared") + done.stderr.startswith("train: 64") == 2
    assert all(line.startswith(("train: ", "Failed: ")) for line in done.stderr.splitlines()), done.stderr


def test_two_runs_at_once_are_the_runs_of_a_sweep_and_each_line_tells_whose_it_is(tmp_path):
    done = command(tmp_path, "train.py", "-m", "hydra/launcher=two_at_once", "seed=1,2", *TINY)
    assert done.returncode == 0, done.stderr
    folders = [f"{tmp_path}/runs/debug+image_size-8+seed-{seed}+warmup_steps-0" for seed in (1, 2)]
    for number, folder in enumerate(folders):
        assert status.read_status(Path(folder))["state"] == "finished"
        assert f"[{number}] Run folder: {folder}\n" in done.stderr
    assert all(re.search(rf"seed-{seed} .*finished", done.stdout) for seed in (1, 2))


def test_a_search_runs_its_trials_says_which_was_best_and_is_taken_up_by_the_same_command(tmp_path):
    search = ("hydra/sweeper=search", "hydra.sweeper.n_trials=2", "objective=loss", "seed=range(0,1000)")
    done = command(tmp_path, "train.py", "-m", *search, *TINY)
    assert done.returncode == 0, done.stderr
    told = {path.parent: json.loads(path.read_text()) for path in tmp_path.glob("runs/*/outcome.json")}
    assert [one["state"] for one in told.values()] == ["finished", "finished"]
    best = min(told, key=lambda folder: told[folder]["objective"])
    line = f"Best objective: loss={told[best]['objective']:.6g} in {best}\n"
    assert line in done.stdout and "\x1b" not in done.stderr
    again = command(tmp_path, "train.py", "-m", *search, *TINY)
    assert again.stderr.count("is finished, at step") == 2 and line in again.stdout
