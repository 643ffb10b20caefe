"""The golden numbers as pytest parameters, and the tolerance that their README gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import load_golden


def cases(group: int, *runners: str):
    """pytest parameters (case, inputs, outputs) of one group, each under the case's id."""
    return [
        pytest.param(case, inputs, outputs, id=case["id"])
        for case, inputs, outputs in load_golden.cases(group)
        if not runners or case["runner"] in runners
    ]


def tensors(arrays: dict) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if isinstance(a, np.ndarray)}


def assert_golden(case: dict, name: str, got, expected: np.ndarray) -> None:
    """abs(error) <= max(10 * noise_floor, 5e-7 * max_abs); float64 tables within 1e-11 relative."""
    got = np.asarray(got.detach() if isinstance(got, torch.Tensor) else got)
    assert got.shape == expected.shape, f"{name}: {got.shape}, expected {expected.shape}"
    if expected.dtype.kind in "bi":
        assert np.array_equal(got, expected), name
        return
    floor = case["outputs"][name].get("noise_floor")
    if floor is None and expected.dtype == np.float64:
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=0, err_msg=name)
        return
    tolerance = max(10 * (floor or 0), 5e-7 * np.abs(expected).max())
    worst = np.abs(got.astype(np.float64) - expected).max()
    assert worst <= tolerance, f"{name}: off by {worst:.3g}, allowed {tolerance:.3g}"
