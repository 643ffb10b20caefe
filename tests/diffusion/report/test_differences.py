"""What is said to distinguish runs."""

from pathlib import Path

from diffusion.report.differences import differing, groups, settings, short, short_names
from diffusion.report.runs import RunRecord


def run(name="run", **config):
    return RunRecord(Path(name), config, {}, [], {})


def schedule(target, **options):
    return {"schedule": {"_target_": f"diffusion.schedules.{target}", **options}}


def test_settings_read_as_they_are_typed():
    config = {"a": None, "b": [True, 8, 1e-4], "seed": 0, "diffusion": schedule("Linear")}
    assert settings(run(**config)) == {
        "a": "null", "b": "[true,8,0.0001]", "seed": "0", "diffusion.schedule": "Linear",
    }  # fmt: skip


def test_only_what_makes_another_experiment_differs():
    a = run(seed=0, name="a", logger={"mode": "online"}, shape=[1], train={"max_steps": 1, "keep": 2})
    b = run(seed=0, name="b", logger={"mode": "offline"}, shape=[3], train={"max_steps": 2, "keep": 3})
    assert differing([a, b]) == ["train.max_steps"]


def test_options_that_come_with_a_class_are_not_named_beside_it():
    linear, cosine = run(diffusion=schedule("Linear")), run(diffusion=schedule("Cosine", offset=0.008))
    other = run(diffusion=schedule("Cosine", offset=0.1))
    assert differing([linear, cosine]) == ["diffusion.schedule"]
    assert differing([linear, cosine, other]) == ["diffusion.schedule", "diffusion.schedule.offset"]


def test_of_many_settings_those_that_follow_from_a_class_are_not_named():
    """A number that a class always has goes with its name; another class that it was given does not."""
    many = dict.fromkeys((f"option_{i}" for i in range(7)), 1)
    one = schedule("Linear", end=1, shape={"_target_": "diffusion.Even"})
    two = schedule("Cosine", end=2, shape={"_target_": "diffusion.Odd"})
    runs = [run(diffusion=one), run(diffusion=two, **many), run(diffusion=two, **dict.fromkeys(many, 2))]
    assert differing(runs) == ["diffusion.schedule", "diffusion.schedule.shape", *many]
    assert "diffusion.schedule.end" in differing([run(diffusion=one), run(diffusion=two)])
    runs[2].config["diffusion"] = schedule("Cosine", end=3)
    assert "diffusion.schedule.end" in differing(runs)


def test_of_many_settings_groups_are_called_by_what_the_names_of_their_runs_share():
    many = {f"option_{i}": i for i in range(7)}
    other = dict.fromkeys(many, 9)
    runs = [run(f"a+seed-{seed}", seed=seed, **many) for seed in (0, 1)]
    runs += [run(f"b+seed-{seed}", seed=seed, **other) for seed in (0, 1)]
    assert [group.label for group in groups([*runs, run("alone", option_0=5)])] == ["a", "b", "alone"]


def test_what_is_not_resolved_or_not_there_is_no_difference():
    assert differing([run(seed=0, a=1, b=2), run(seed=1, a="${b}"), run(seed=1, a="???"), run()]) == ["seed"]


def test_runs_that_differ_by_seed_are_a_group():
    runs = [run(f"{lr}-{seed}", seed=seed, train={"lr": lr}) for lr in (1, 2) for seed in (0, 1)]
    made = groups(runs)
    assert [(group.label, group.runs) for group in made] == [("lr 1", runs[:2]), ("lr 2", runs[2:])]
    assert made[1].label_of(runs[3]) == "lr 2 · seed 1"


def test_runs_that_nothing_distinguishes_are_known_by_their_names():
    assert [group.label for group in groups([run("a", seed=0), run("b", seed=0)])] == ["a", "b"]
    assert [group.label for group in groups([run("c"), run("d")])] == ["c", "d"]


def test_keys_are_as_short_as_they_can_be_told_apart():
    assert short(["model.heads", "a.b.c", "a.d.c", "diffusion.loss"]) == {
        "model.heads": "heads", "a.b.c": "b.c", "a.d.c": "d.c", "diffusion.loss": "diffusion.loss",
    }  # fmt: skip


def test_names_leave_out_what_all_share():
    runs = [run("lr-1+seed-0+x"), run("lr-2+seed-0+x"), run("default")]
    assert short_names(runs) == ["lr-1", "lr-2", "default"]
    assert short_names([run("a/x"), run("b/x")]) == ["a/x", "b/x"]
    sweep = [run(f"lr-1+seed-{seed}+x") for seed in range(9)]
    assert short_names([*sweep, run("y+z")]) == [*(f"seed-{seed}" for seed in range(9)), "y+z"]
    unfinished = [run("seed-0+lr-1"), run("seed-1+lr-1"), run("seed-0+lr-2")]
    assert short_names(unfinished) == [made.folder.name for made in unfinished]
