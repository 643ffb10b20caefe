"""Every number of docs/proofs.md is the one computed here, and keeps its law."""

import pytest
from proofs import equalities, orders, page, pure_noise
from proofs.cases import DETERMINISTIC, PROCESSES, STOCHASTIC


def cells(table: str, row: str) -> list[str]:
    """The cells of a row, computed; and they are those on the page, but for what rounding does to the last digit."""
    computed, shown = page.TABLES[table].cells(row), page.on_page(table, row)
    for found, wanted, digits in zip(
        page.numbers(computed), page.numbers(shown), ({"rel": 0.06}, {"abs": 0.011}), strict=True
    ):
        assert found == pytest.approx(wanted, **digits), f"run python tests/proofs/page.py: {row} is {computed}"
    return computed


def orders_in(row: list[str]) -> list[float]:
    return page.numbers(row)[1]


@pytest.mark.parametrize("process", PROCESSES)
def test_samplers_without_noise_are_of_their_order(process):
    for (name, law), order in zip(DETERMINISTIC.items(), orders_in(cells("orders", process)), strict=True):
        assert order == pytest.approx(law.order, abs=law.within), name


@pytest.mark.parametrize("process", page.UP)
def test_encoding_is_of_the_same_order(process):
    for (name, law), order in zip(DETERMINISTIC.items(), orders_in(cells("encoding", process)), strict=True):
        assert order == pytest.approx(law.order, abs=law.within), name


@pytest.mark.parametrize("name", orders.ONE_STEP)
def test_a_step_whose_history_is_exact_is_of_its_order(name):
    (order,) = orders_in(cells("one step", name))
    assert order == pytest.approx(orders.ONE_STEP[name][0], abs=0.02)


@pytest.mark.parametrize("process", PROCESSES)
def test_samplers_with_noise_keep_the_variance_to_their_order(process):
    for (name, law), order in zip(STOCHASTIC.items(), orders_in(cells("moments", process)), strict=True):
        assert order == pytest.approx(law.order, abs=law.within), name


@pytest.mark.parametrize("name", pure_noise.SAMPLERS)
def test_bright_images_are_drawn_bright_from_pure_noise(name):
    short, pure = orders_in(cells("pure noise", name))
    assert pure == 0.9
    # Noise forgets where a walk began.
    assert short == 0.9 if pure_noise.SAMPLERS[name].draws_noise else short < 0.885


@pytest.mark.parametrize("each", equalities.ALL, ids=lambda each: each.statement)
def test_equal_formulas_are_equal(each):
    assert each.measured() < each.within
    cells("equalities", each.statement)


@pytest.mark.parametrize("table", page.TABLES)
def test_the_page_has_these_rows_and_no_other(table):
    assert [first for first, *_ in page.written(table)] == list(page.TABLES[table].rows)
    assert f"| {' | '.join(page.TABLES[table].columns)} |" in page.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("process", PROCESSES)
def test_the_coordinates_of_heun_come_together_to_order_2(process):
    wanted = float("inf") if process.startswith("exploding") else 2
    assert orders.order_of_difference(process) == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("process", page.UP)
def test_a_walk_up_and_down_comes_back(process, name):
    # The errors of the way up and down, of which those of Heun cancel but for order 3.
    coarse, fine = (orders.there_and_back(process, name, steps) for steps in (32, 64))
    wanted = 0.1 if DETERMINISTIC[name].order == 1 else 0.01
    assert fine < wanted and fine < 0.75 * coarse
    if name.startswith("Heun"):
        assert fine < coarse / 7


def test_along_the_path_heun_is_nearer_on_the_straight_one():
    errors = [orders.distance("straight, its time", name, 32) for name in ("Heun, path", "Heun, ratio")]
    assert errors[0] < errors[1] / 2
