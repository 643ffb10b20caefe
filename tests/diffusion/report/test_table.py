"""The table of the runs."""

import math
from pathlib import Path

import pytest

from diffusion.report.differences import groups
from diffusion.report.plots import smooth
from diffusion.report.runs import RunRecord
from diffusion.report.table import columns, decimals, duration, over_seeds
from diffusion.runs.metrics import lower_is_better


def run(name, *losses, loss="Simple", seed=0, quality=(), settings=None, **outcome):
    logged = [{"step": i, "images": i, "loss": value} for i, value in enumerate(losses)]
    measured = {(name, setting): [] for name, setting, _, _ in quality}
    for name, setting, images, value in quality:
        measured[name, setting].append((images, value))
    config = {"seed": seed, "diffusion": {"loss": {"_target_": f"diffusion.losses.{loss}"}}, **(settings or {})}
    return RunRecord(Path(name), config, outcome, logged, measured)


def leading(runs, head):
    return [cell.leads for column in columns(runs) if column.head == head for cell in column.cells]


@pytest.mark.parametrize("name", ["loss", "bits_per_dim", "fid_inception_cifar10_5000", "copies_pixels"])
def test_less_is_better(name):
    assert lower_is_better(name) is True


@pytest.mark.parametrize("name", ["recognised", "precision_digits", "inception_score_10000", "class_score", "accuracy"])
def test_more_is_better(name):
    assert lower_is_better(name) is False


@pytest.mark.parametrize(
    "name",
    ["standard_error", "num_images", "classifier_accuracy", "prior", "kernel_distance_spread_digits", "real_recall"],
)
def test_neither_is_better(name):
    assert lower_is_better(name) is None


def test_the_best_leads():
    low = run("low", 0.2, quality=[("recognised", "", 1, 0.9), ("recognised", "", 2, 0.8)])
    runs = [low, run("high", 0.3, quality=[("recognised", "", 1, 0.7)]), run("lost", math.nan), run("none")]
    assert leading(runs, "loss") == [True, False, False, False]
    assert leading(runs, "recognised") == [True, False, False, False]
    assert next(column for column in columns(runs) if column.head == "recognised").cells[0].note == "best 0.9000"


def test_a_measure_stands_beside_that_of_real_images():
    one = run("a", quality=[("recall", "", 1, 0.9), ("recall", "", 2, 0.5)])._replace(real={("recall", ""): 0.95})
    assert (
        next(column for column in columns([one]) if column.head == "recall").cells[0].note == "best 0.9000, real 0.9500"
    )


def test_a_failed_run_does_not_lead():
    runs = [run("a", 0.1, state="failed"), run("b", 0.2), run("c", 0.1, seed=1, state="failed")]
    assert leading(runs, "loss") == [False, True, False]
    assert leading(runs[::2], "loss") == [False, False]


def test_seeds_of_which_one_failed_do_not_lead():
    runs = [run(f"{lr}-{seed}", lr, seed=seed, settings={"lr": lr}) for lr in (0.1, 0.2) for seed in (0, 1)]
    assert [cell.leads for cell in over_seeds(groups(runs))[-1].cells] == [True, False]
    runs[0] = runs[0]._replace(outcome={"state": "failed"})
    assert [cell.leads for cell in over_seeds(groups(runs))[-1].cells] == [False, True]


def test_losses_of_two_objectives_are_not_compared():
    assert leading([run("a", 0.2), run("b", 0.001, loss="VLB")], "loss") == [False, False]


def measured(name, value, *, setting="", seed=0, **settings):
    return run(name, quality=[("bits_per_dim", setting, 1, value)], seed=seed, settings=settings)


def likelihood(**settings):
    return {"evaluations": {"likelihood": settings}}


@pytest.mark.parametrize(
    "a, b",
    [
        ({"data": {"split": "train"}}, {"data": {"split": "test"}}),
        ({"data": {"padding": 0}}, {"data": {"padding": 2}}),
        ({"data": {"images": {"dataset": "MNIST"}}}, {"data": {"images": {"dataset": "CIFAR10"}}}),
        ({"train": likelihood(steps=100)}, {"train": likelihood(steps=10)}),
    ],
)
def test_numbers_of_other_images_or_found_in_another_way_are_not_ranked(a, b):
    assert leading([measured("a", 2.0, **a), measured("b", 3.0, **b)], "bits_per_dim") == [False, False]


@pytest.mark.parametrize("name", ["flip", "workers", "cache", "on_error", "download"])
def test_how_images_are_read_leaves_numbers_comparable(name):
    runs = [measured(value, 2.0 + i, data={"images": {name: value}}) for i, value in enumerate("ab")]
    assert leading(runs, "bits_per_dim") == [True, False]


def test_what_evaluate_found_is_ranked_however_training_was_measured():
    runs = [measured(str(i), i, setting="likelihood", train=likelihood(steps=i)) for i in (1, 2)]
    assert leading(runs, "bits_per_dim") == [True, False]


def test_numbers_found_in_another_way_have_no_mean():
    steps = {0: 100, 1: 10}
    runs = [measured(str(seed), 2.0, seed=seed, train=likelihood(steps=steps[seed])) for seed in steps]
    assert over_seeds(groups(runs))[-1].cells[0][:2] == ("–", "not alike")
    alike = [measured(str(seed), 2.0, seed=seed, train=likelihood(steps=10)) for seed in steps]
    assert over_seeds(groups(alike))[-1].cells[0].text == "2 ± 0"


def test_final_and_best_loss_are_means_over_a_tenth():
    losses = [*range(20, 0, -1), *range(1, 21)]
    (cell,) = next(column.cells for column in columns([run("a", *losses)]) if column.head == "loss")
    assert (cell.value, cell.note) == (18.5, "best 1.50")


def test_seeds_are_summarised_by_mean_and_standard_deviation():
    runs = [run("a", 1.4, seed=0), run("b", 3.2, seed=1), run("c", 5.0, loss="VLB")]
    settings, seeds, loss = over_seeds(groups(runs))
    assert [cell.text for cell in settings.cells] == ["diffusion.loss Simple"]  # the other has no seeds to speak of
    assert [cell.text for cell in seeds.cells] == ["2"]
    assert [cell.text for cell in loss.cells] == ["2.300 ± 1.273"]
    assert over_seeds(groups(runs[1:])) == []


@pytest.mark.parametrize("losses", [(math.nan, 1.0), (math.inf, -math.inf), (1e308, 1e308)])
def test_seeds_that_blew_up_are_summarised_too(losses):
    runs = [run(str(seed), loss, seed=seed) for seed, loss in enumerate(losses)]
    assert "±" not in over_seeds(groups(runs))[-1].cells[0].text


def test_of_many_settings_a_run_names_what_is_unlike_most():
    many = {f"option_{i}": 0 for i in range(8)}
    runs = [run("a", 1.0, settings=many), run("b", 1.0, seed=1, settings=many)]
    runs.append(run("c", 1.0, settings={**dict.fromkeys(many, 1), "option_0": 0}))
    heads = [column.head for column in columns(runs)]
    assert heads == ["run", "state", "steps", "seed", "loss", "images/s", "time", "settings"]
    words = columns(runs)[-1].cells
    assert [cell.text for cell in words] == ["–", "–", " · ".join(f"option_{i} 1" for i in range(1, 8))]
    assert [group.label for group in groups(runs)] == ["usual settings", "c"]


def test_numbers_share_their_decimals():
    style = decimals([0.05, 0.02, math.nan])
    assert [style(0.05), style(123.4), style(math.nan)] == ["0.05000", "123.40000", "NaN"]
    assert decimals([0.0, 3.0])(3.0) == "3"


def test_durations():
    assert [duration(s) for s in (9.6, 61, 3_900)] == ["10 s", "1 min 01 s", "1 h 05 min"]


def test_smoothing_keeps_straight_lines_and_what_is_not_finite():
    line = [2.0 * i for i in range(9)]
    assert smooth(line, 3) == pytest.approx(line)
    broken = smooth([1.0, math.nan, 3.0], 1)
    assert broken[0] == 1.0 and math.isnan(broken[1]) and broken[2] == 3.0
