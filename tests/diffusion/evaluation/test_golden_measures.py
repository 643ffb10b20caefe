"""Measures of sets of images, of torch-fidelity and others."""

import pytest
import torch
from modern_cases import assert_modern, modern, tensors

from diffusion.evaluation.measures import class_score, coverage, frechet_distance, gaussian, kernel_distance


@pytest.mark.parametrize("case, inputs, expected", modern(26, "fid"))
def test_frechet_distance(case, inputs, expected):
    a, b = (gaussian(tensors(inputs)[name]) for name in ("a", "b"))
    assert_modern(case, "mu_a", a.mean, expected["mu_a"])
    assert_modern({**case, "id": ""}, "sigma_a", a.root.T @ a.root, expected["sigma_a"])
    assert_modern(case, "fid", frechet_distance(a, b), expected["fid"])


@pytest.mark.parametrize("case, inputs, expected", modern(26, "kid"))
def test_kernel_distance(case, inputs, expected):
    inputs = tensors(inputs)
    pairs = zip(inputs["subsets_a"].long(), inputs["subsets_b"].long(), strict=True)
    values = torch.tensor([kernel_distance(inputs["a"][i], inputs["b"][j]) for i, j in pairs], dtype=torch.float64)
    assert_modern(case, "values", values, expected["values"])
    assert_modern(case, "mean", values.mean(), expected["mean"])
    if len(values) > 1:
        assert_modern(case, "std", values.std(correction=0), expected["std"])


@pytest.mark.parametrize("case, inputs, expected", modern(26, "prdc"))
def test_precision_and_recall(case, inputs, expected):
    """A ball holds its edge. There is no density and no coverage here."""
    inputs, k = tensors(inputs), case["args"]["k"]
    real, fake = inputs["real"], inputs["fake"]
    assert_modern(case, "precision_le", coverage(fake, real, neighbours=k), expected["precision_le"])
    assert_modern(case, "recall_le", coverage(real, fake, neighbours=k), expected["recall_le"])


@pytest.mark.parametrize("case, inputs, expected", modern(26, "isc"))
def test_inception_score(case, inputs, expected):
    score = class_score(tensors(inputs)["logits"], parts=case["args"]["splits"])
    assert_modern(case, "mean", score.mean, expected["mean"])
    if score.spread is not None:
        assert_modern(case, "std", score.spread, expected["std"])
