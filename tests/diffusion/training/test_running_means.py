"""Running means."""

import math

import torch

from diffusion import Chain, Cosine
from diffusion.training.running_means import RunningMeans


def two_batches():
    rng = torch.Generator().manual_seed(0)
    for images in (6, 3):
        terms = {name: torch.rand(images, generator=rng) for name in ("mse", "vb")}
        t = torch.randint(0, 30, (images,), generator=rng)  # the last quarter stays empty
        yield terms, 4 * t // 40, torch.rand(images, generator=rng)


def filled(batches) -> RunningMeans:
    averages = RunningMeans()
    for terms, quarter, weights in batches:
        averages.add(terms, quarter, weights=weights)
    return averages


def test_a_mean_is_over_images_times_weights_and_a_quartile_over_its_own():
    batches = list(two_batches())
    read = filled(batches).read()
    quartiles = torch.cat([quarter for _, quarter, _ in batches])
    for name in ("mse", "vb"):
        weighted = torch.cat([terms[name] * weights for terms, _, weights in batches])
        expected = {name: weighted} | {f"{name}_q{q}": weighted[quartiles == q] for q in quartiles.unique().tolist()}
        assert {key for key in read if key.startswith(name)} == set(expected)
        for key, values in expected.items():
            assert math.isclose(read[key], values.mean().item(), rel_tol=1e-6)  # float32 sums in another order


def test_quartiles_are_the_original_ones_at_their_edges():
    averages = RunningMeans()
    t = torch.tensor([0, 2, 3, 5, 6, 7, 8, 9])  # of 10: edges at 2.5, 5, 7.5
    chain = Chain(Cosine().betas(10))
    averages.add({"t": t.float()}, chain.bin(t, 4), weights=torch.ones(8))
    assert averages.read() == {"t": 5.0, "t_q0": 1.0, "t_q1": 3.0, "t_q2": 6.0, "t_q3": 8.5}


def test_a_nan_spoils_its_own_quartile_only():
    averages = RunningMeans()
    averages.add({"mse": torch.tensor([math.nan, 2.0])}, torch.tensor([0, 3]), weights=torch.ones(2))
    read = averages.read()
    assert math.isnan(read["mse"]) and math.isnan(read["mse_q0"]) and read["mse_q3"] == 2.0


def test_reading_starts_anew_and_a_term_brings_no_graph_along():
    averages = RunningMeans()
    averages.add({"mse": torch.ones(1, requires_grad=True)}, torch.tensor([0]), weights=torch.ones(1))
    assert not averages.state_dict()["mse"].requires_grad
    averages.read()
    assert averages.read() == {}


def test_a_value_is_averaged_over_its_calls_without_rounding():
    averages = RunningMeans()
    for value in (1e-4, 1e-4):
        averages.add_value("lr", value)
    for value in (torch.tensor(1.0), torch.tensor(4.0)):
        averages.add_value("grad_norm", value)
    assert averages.read() == {"lr": 1e-4, "grad_norm": 2.5}


def test_a_window_cut_by_a_checkpoint_equals_an_unbroken_one(tmp_path):
    first, second = two_batches()
    before, after = filled([first]), RunningMeans()
    before.add_value("grad_norm", 3.0)
    torch.save(before.state_dict(), tmp_path / "checkpoint")
    after.load_state_dict(torch.load(tmp_path / "checkpoint", weights_only=True))
    unbroken = filled([first, second])
    unbroken.add_value("grad_norm", 3.0)
    after.add(second[0], second[1], weights=second[2])
    assert after.read() == unbroken.read()


def test_sums_of_two_processes_add_to_the_sums_of_one():
    first, second = two_batches()
    both = filled([first, second]).state_dict()
    parts = filled([first]).state_dict(), filled([second]).state_dict()
    assert all(torch.equal(both[name], parts[0][name] + parts[1][name]) for name in both)
