"""The formulas against closed forms, against a hand's computation, and against torch-fidelity on the same features."""

import math

import numpy as np
import pytest
import torch

from diffusion.evaluation.measures import (
    Gaussian,
    class_score,
    comparison,
    coverage,
    frechet_distance,
    gaussian,
    kernel_distance,
    kernel_distance_of_subsets,
)


def features(count, seed, dimensions=6, scale=1.0, shift=0.0):
    z = torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return z * torch.linspace(1, 2, dimensions, dtype=torch.float64) * scale + shift


def test_frechet_distance_of_gaussians_in_closed_form():
    one, three = torch.eye(4, dtype=torch.float64), 3 * torch.eye(4, dtype=torch.float64)
    zero, ones = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    # |m - n|^2 + tr(A + B - 2 (AB)^(1/2)) with A = 1, B = 9: 4 + 4 (1 + 9 - 2 * 3).
    assert frechet_distance(Gaussian(zero, one), Gaussian(ones, three)) == pytest.approx(4 + 4 * 4)
    # Covariances that do not commute: the trace of the root of A B, whose eigenvalues are its singular ones squared.
    a, b = features(20, 0, 4), features(20, 1, 4) @ torch.tensor(np.linalg.qr(np.arange(16).reshape(4, 4) % 7)[0])
    eigenvalues = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).real
    expected = (a.mean(0) - b.mean(0)).square().sum() + torch.cov(a.T).trace() + torch.cov(b.T).trace()
    expected -= 2 * eigenvalues.sqrt().sum()
    assert frechet_distance(gaussian(a), gaussian(b)) == pytest.approx(expected.item())


def test_frechet_distance_of_a_set_to_itself_is_0_also_with_fewer_images_than_features():
    x = features(5, 0, 40)
    assert frechet_distance(gaussian(x), gaussian(x)) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(gaussian(x), gaussian(x + 1)) == pytest.approx(40)


def test_kernel_distance_of_three_points_by_hand():
    # One dimension, k(a, b) = (ab + 1)^3. Pairs of x: k(0,1) = 1, k(0,2) = 1, k(1,2) = 27; of y: all k(1,1) = 8;
    # across: k(0,1) = 1, k(1,1) = 8, k(2,1) = 27.
    x, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.ones(3, 1)
    assert kernel_distance(x, y) == pytest.approx((1 + 1 + 27) / 3 + 8 - 2 * (1 + 8 + 27) / 3)


def test_kernel_distance_of_one_distribution_is_0_on_average_and_of_another_is_not():
    same = torch.tensor([kernel_distance(features(30, i), features(30, 1000 + i)) for i in range(300)])
    assert same.mean().abs() < 4 * same.std() / math.sqrt(300) and same.min() < 0
    of_subsets = kernel_distance_of_subsets(features(200, 0), features(300, 1, shift=1.0))
    assert of_subsets.mean > 4 * of_subsets.spread


def test_class_score_counts_the_classes_that_are_plainly_seen():
    plain = 100 * torch.eye(4).repeat(30, 1)
    assert class_score(plain).mean == pytest.approx(4)
    assert class_score(torch.zeros(20, 4)).mean == pytest.approx(1)
    assert class_score(plain[::4]).mean == pytest.approx(1)
    assert class_score(plain[:20]).mean == pytest.approx(4) and class_score(plain[:20]).spread is None


def test_precision_and_recall_of_constructed_sets():
    line = torch.arange(10.0)[:, None]  # each ball of 2 neighbours reaches 1 far, at the ends 2
    assert coverage(line, line, neighbours=2) == 1
    assert coverage(line + 100, line, neighbours=2) == coverage(line, line + 100, neighbours=2) == 0
    # A collapsed model: its images are real, but cover only the half that it draws.
    drawn = torch.cat([line[:5], line[:5] + 0.1])
    assert coverage(drawn, line, neighbours=1) == 1
    assert coverage(line, drawn, neighbours=1) == 0.5


def test_the_library_finds_the_same_on_the_same_features():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kernel_mmd
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    x, y = features(120, 0), features(150, 1, scale=1.3, shift=0.4)
    theirs = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), False)
    assert frechet_distance(gaussian(x), gaussian(y)) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-9)
    settings = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_coef0": 1}
    settings["kid_kernel_poly_gamma"] = None
    # The library's estimate is for sets of one size.
    assert kernel_distance(x, y[:120]) == pytest.approx(kernel_mmd(x.numpy(), y[:120].numpy(), **settings), rel=1e-9)
    precision, recall = calculate_precision_recall_full(x, y, neighborhood=3)
    assert coverage(x, y, neighbours=3) == pytest.approx(precision)
    assert coverage(y, x, neighbours=3) == pytest.approx(recall)
    scores = isc_features_to_metric(x, splits=2, shuffle=False)
    assert class_score(x).mean == pytest.approx(scores["inception_score_mean"], rel=1e-9)
    assert class_score(x).spread == pytest.approx(scores["inception_score_std"], rel=1e-6)


def in_turn(count):
    """Features of images that show each of ten classes in turn, all images of a class alike."""
    return torch.eye(10)[torch.arange(count) % 10]


@pytest.mark.parametrize("drawn, real", [(500, 100), (100, 500)])
def test_precision_and_recall_see_all_classes_of_a_larger_set_that_shows_each_in_turn(drawn, real):
    ways = comparison(in_turn(drawn), in_turn(real), neighbours=3)
    assert (ways["precision"]().mean, ways["recall"]().mean) == (1, 1)


def test_precision_and_recall_take_the_whole_of_the_smaller_set():
    odd = torch.cat([in_turn(99), torch.full((1, 10), 9.0)])
    assert comparison(odd, in_turn(500), neighbours=3)["precision"]().mean == 0.99
    assert comparison(in_turn(500), odd, neighbours=3)["recall"]().mean == 0.99
