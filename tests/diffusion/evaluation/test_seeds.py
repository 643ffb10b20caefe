"""What is drawn with several seeds: each seed's numbers, their mean, and their standard deviation."""

import json

import pytest
from tiny_training import tiny_run

from diffusion.config.preflight import check_evaluation
from diffusion.data.digits import Digits
from diffusion.evaluation.subject import Evaluation, Findings, Subject, write_result
from diffusion.runs.metrics import aside


class Squared(Evaluation):
    """The square of the seed, where a model would draw by it."""

    name = "squared"

    def __init__(self, seeds):
        self.seeds = seeds

    def check(self, subject):
        pass

    def __call__(self, subject, folder):
        write_result(folder, {"fid": float(subject.seed**2), "resize": "bilinear", "seed": subject.seed})
        return Findings("measured", {"fid": float(subject.seed**2), "real_fid": 2.0})


@pytest.fixture
def subject(tmp_path):
    images, run = Digits(split="test", image_size=8), tiny_run(tmp_path / "run")
    return Subject(run.trained(run.model), images, {}, "digits test", True, lambda: images, "digits train", 8, 1)


def test_each_seed_is_kept_beside_the_mean_and_the_standard_deviation_of_all(subject, tmp_path, capsys):
    found = Squared(3).measure(subject, tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert found.numbers["fid"] == result["fid"] == 14 / 3  # 1, 4, 9
    assert found.numbers["fid_std_between_seeds"] == pytest.approx(16.333333**0.5)
    assert found.numbers["real_fid_std_between_seeds"] == 0 and aside("fid_std_between_seeds")
    assert found.text == "mean and standard deviation of the seeds 1, 2, 3:\nfid 4.667 ± 4"
    assert result["seeds"] == [1, 2, 3] and result["resize"] == "bilinear" and "seed" not in result
    assert result["by_seed"] == {str(n): {"fid": n * n, "real_fid": 2} for n in (1, 2, 3)}
    assert json.loads((tmp_path / "seed_2" / "result.json").read_text()) == {"fid": 4, "resize": "bilinear", "seed": 2}
    assert capsys.readouterr().out == "Seed 1, 1 of 3\nmeasured\nSeed 2, 2 of 3\nmeasured\nSeed 3, 3 of 3\nmeasured\n"


def test_one_seed_leaves_files_text_and_names_as_they_are(subject, tmp_path, capsys):
    assert Squared(1).measure(subject, tmp_path) == Squared(1)(subject, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == {"fid": 1, "resize": "bilinear", "seed": 1}
    assert capsys.readouterr().out == ""
    assert subject.folder_name(Squared(1)) == "squared_digits_test_raw_step_0_seed_1"
    assert subject.folder_name(Squared(3)) == "squared_digits_test_raw_step_0_seed_1_3_seeds"


def test_less_than_one_seed_is_refused(subject):
    with pytest.raises(ValueError, match=r"^evaluation\.seeds=0 must be at least 1$"):
        check_evaluation(Squared(0), subject)
