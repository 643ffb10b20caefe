"""The number that a run is compared by."""

import json

import pytest
from tiny_training import tiny_run, tiny_trainer

from diffusion.evaluation.subject import Evaluation, Findings, write_result
from diffusion.runs import checkpoints
from diffusion.runs.metrics import MetricsFile, require_logged
from diffusion.training.loop import fit


class Counted(Evaluation):
    """An evaluation that finds how often it was asked."""

    name = ""

    def __init__(self, name):
        self.name, self.asked = name, 0

    def check(self, subject):
        pass

    def __call__(self, subject, folder):
        self.asked += 1
        write_result(folder, {self.name: self.asked, "step": subject})
        return Findings(self.name, {self.name: self.asked})


class Subject(int):
    """What is measured: the step will do."""

    def folder_name(self, evaluation):
        return f"{evaluation.name}_{self}"


def measured(folder, evaluations, **options):
    about = {"config": {"classes": None}, "subject": lambda model: Subject(model.step)}
    run = tiny_run(folder, objective=options.pop("objective", None), **about)
    by_name = {evaluation.name: evaluation for evaluation in evaluations}
    return run, fit(tiny_trainer(evaluations=by_name, **options), run, checkpoints.load_newest(folder))


def test_what_is_logged_is_accepted_and_what_is_not_is_named_with_what_is():
    require_logged(None, [])
    require_logged("loss", ["loss", "lr"])
    require_logged("loss_q3", ["loss"])
    with pytest.raises(ValueError, match=r"objective=bits is not logged; this run logs loss, lr; .*evaluations"):
        require_logged("bits", ["step", "images", "lr", "loss"])


def test_a_run_without_its_objective_ends_at_the_first_log_and_keeps_its_steps(tmp_path):
    run = tiny_run(tmp_path / "run", objective="bits_per_dim")
    with pytest.raises(ValueError, match="objective=bits_per_dim is not logged"):
        fit(tiny_trainer(max_steps=9, log_every=2), run)
    assert checkpoints.last_step(run.checkpoints) == 2
    run = tiny_run(tmp_path / "other", objective="grad_norm")
    assert fit(tiny_trainer(max_steps=2), run) == 0


def test_what_is_measured_before_the_first_log_is_measured(tmp_path):
    asked = Counted("bits")
    run, _ = measured(tmp_path / "run", [asked], max_steps=4, log_every=4, evaluate_every=2)
    assert asked.asked == 2
    assert [line["step"] for line in MetricsFile.read(run.folder / "metrics.jsonl") if "bits" in line] == [2, 4]


def test_one_measure_does_not_stand_for_another_and_none_is_made_twice(tmp_path):
    one, other = Counted("one"), Counted("other")
    run, _ = measured(tmp_path / "run", [one], max_steps=2)
    (run.folder / "evaluation" / "other_2").mkdir()
    write_result(run.folder / "evaluation" / "other_2", {"other": 9, "step": 2})  # by hand, and so in no line
    measured(run.folder, [one, other], max_steps=2)
    assert (one.asked, other.asked) == (1, 1)


def test_a_result_that_was_torn_by_a_kill_is_measured_again(tmp_path):
    asked = Counted("bits")
    torn = tmp_path / "run" / "evaluation" / "bits_2" / "result.json"
    torn.parent.mkdir(parents=True)
    torn.write_text('{"bits"')
    measured(tmp_path / "run", [asked], max_steps=2)
    assert asked.asked == 1 and json.loads(torn.read_text()) == {"bits": 1, "step": 2}


def test_an_objective_that_was_not_measured_is_missed_at_the_first_measurement(tmp_path):
    with pytest.raises(ValueError, match=r"objective=bit is not logged; this run logs bits, .*loss"):
        measured(tmp_path / "run", [Counted("bits")], max_steps=9, evaluate_every=2, objective="bit")
    assert checkpoints.last_step(tmp_path / "run" / "checkpoints") == 2
    assert measured(tmp_path / "other", [Counted("bits")], max_steps=2, objective="bits")[1] == 0
