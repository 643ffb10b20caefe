"""benchmarks/time_to_quality.py judges at every mark, and says who reached what."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")


@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.5, 12.0])
def test_no_mark_is_missed_however_long_a_step_takes(monkeypatch, seconds):
    import timed_training

    now = [0.0]
    monkeypatch.setattr(timed_training.time, "perf_counter", lambda: now[0])
    training = timed_training.Training.__new__(timed_training.Training)
    training.seconds, training.steps = 0.0, 0
    training.step = lambda: now.append(now.pop() + seconds)
    monkeypatch.setattr(timed_training.Training, "last", None)
    reached = []
    while training.seconds < 60:
        if training.advance([17.0, 40.0]):
            reached.append(training.seconds)
    assert [mark <= at < mark + 1.01 * seconds for mark, at in zip([17, 40], reached, strict=True)] == [True, True]


def points(quality_points, name, values, seconds):
    return [
        quality_points.Point(
            name, seed, seconds, 10, {"frechet": value, "recognised": 1 - value, "bits_per_dim": value}
        )
        for seed, value in enumerate(values)
    ]


def test_the_quickest_that_reaches_a_target_is_named_or_else_the_best(tmp_path):
    import quality_points

    all_points = [
        *points(quality_points, "original, 400 s", [0.1, 0.3], 400),
        *points(quality_points, "slow", [0.1, 0.2], 90),
        *points(quality_points, "quick", [0.1, 0.3], 50),
        *points(quality_points, "poor", [0.5, 0.5], 10),
    ]
    found = quality_points.means(all_points)
    assert found["slow"].seeds == 2 and found["slow"].found["frechet"] == pytest.approx((0.15, 0.0707), abs=1e-3)
    targets = quality_points.given_targets(["frechet=0.2", "recognised=0.9"])
    reached, missed = quality_points.verdicts(found, targets, ["slow", "quick", "poor"])
    assert reached == "frechet 0.200: reached in 50 s by quick"
    assert missed == "recognised 0.900: not reached; the best is 85.0% ± 7.1%"
    assert "| slow | 2 | 90.0 ± 0.0 | 10 | 0.150 ± 0.071 | 85.0% ± 7.1% |" in quality_points.table(found)
    quality_points.plot(found, {"frechet": 0.1}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").is_file()


def test_recipes_that_differ_by_their_length_alone_are_one_line():
    import quality_points

    names = [
        "train.py",
        "train.max_steps=300",
        "original, 100 s",
        "a=1 train.max_steps=3",
        "train.max_steps=3 a=1",
        "a=1",
    ]
    lines = ["train.py", "train.py", "original", "a=1", "a=1", "a=1"]
    assert [quality_points.line_of(name) for name in names] == lines


@pytest.mark.parametrize("word", ["frechet", "frechet=low", "fid=1"])
def test_a_target_of_no_measure_is_refused(word):
    import quality_points

    with pytest.raises(ValueError, match=f"--target {word} is no target"):
        quality_points.given_targets([word])
