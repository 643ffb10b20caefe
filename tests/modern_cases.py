"""The reference numbers of modern methods as pytest parameters, their tolerance, and their models in closed form."""

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import load_golden
from torch import Tensor

from diffusion import Chain, Cosine, Epsilon, Linear, Start, Velocity
from diffusion.denoiser.denoiser import Denoise, Denoiser
from diffusion.process.level import Level, as_factor

Exact = Callable[[Tensor, Level], Tensor]
HERE = Path(__file__).parent / "golden_modern"
PREDICTIONS = {"eps": Epsilon(), "x0": Start(), "v": Velocity()}
TOLERANCES = {"fid_singular": 1e-6, "flow_likelihood_adaptive": 1e-7}


def modern(group: int, *runners: str, without: Collection[str] = ()):
    """pytest parameters (case, inputs, outputs) of a group, under the cases' ids, but for those named `without`."""
    return [
        pytest.param(case, inputs, outputs, id=case["id"])
        for case, inputs, outputs in load_golden.cases(group, folder=HERE)
        if (not runners or case["runner"] in runners) and case["id"] not in without
    ]


def tensors(arrays: Mapping) -> dict[str, Tensor]:
    """Every array as a tensor, floats in float64."""
    made = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if isinstance(a, np.ndarray)}
    return {name: a.double() if a.is_floating_point() else a for name, a in made.items()}


def assert_modern(case: dict, name: str, got, expected: np.ndarray) -> None:
    """abs(error) <= 1e-9 * max_abs in float64, but for the cases that say otherwise; integers are exact."""
    got = np.asarray(got.detach() if isinstance(got, Tensor) else got)
    assert got.shape == expected.shape, f"{name}: {got.shape}, expected {expected.shape}"
    if expected.dtype.kind in "bi":
        assert np.array_equal(got, expected), name
        return
    tolerance = TOLERANCES.get(case["id"], 1e-9) * np.abs(expected).max()
    if case["id"] == "fid_same":
        tolerance = 1e-6
    worst = np.abs(got.astype(np.float64) - expected).max()
    assert worst <= tolerance, f"{name}: off by {worst:.3g}, allowed {tolerance:.3g}"


def chain_of(args: Mapping) -> Chain:
    return Chain({"linear": Linear(), "cosine": Cosine()}[args["schedule"]].betas(args["T"]))


def exact_x_0(model: Mapping[str, Tensor]) -> Exact:
    """(x_t, level) -> E[x_0 | x_t] of a normal distribution (m, s) or a mixture of them (w, m, s)."""
    if "w" not in model:
        return lambda x, level: normal_x_0(x, level, model["m"], model["s"])
    w, m, s = model["w"], model["m"], model["s"]

    def mixture_x_0(x: Tensor, level: Level) -> Tensor:
        alpha, spread = as_factor(level.alpha, x), as_factor(level.alpha**2 * s**2 + level.sigma**2, x)
        distance = ((x[:, None] - alpha[:, None] * m) ** 2 / (2 * spread[:, None])).flatten(2).sum(2)
        share = (w.log() - distance).softmax(1)
        each = torch.stack([normal_x_0(x, level, one, s) for one in m], dim=1)
        return torch.einsum("nk,nk...->n...", share, each)

    return mixture_x_0


def normal_x_0(x: Tensor, level: Level, m: Tensor, s: Tensor) -> Tensor:
    alpha, sigma = as_factor(level.alpha, x), as_factor(level.sigma, x)
    return m + alpha * s**2 / (alpha**2 * s**2 + sigma**2) * (x - alpha * m)


def model_of(inputs: Mapping[str, Tensor], prefix: str = "model_") -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in inputs.items() if name.startswith(prefix)}


def denoise_of(model: Mapping[str, Tensor], denoiser: Denoiser, steps: int = 1000) -> Denoise:
    """A denoiser of what a network with this closed form gives: exact (m, s, w), or an affine map (A, b, c) of x and
    time."""
    if "A" in model:

        def affine(x: Tensor, time: Tensor) -> Tensor:
            told = model["b"] + model["c"] * (time.double() / steps)[:, None]
            return torch.einsum("ij,nj...->ni...", model["A"], x) + told.view(*told.shape, *[1] * (x.ndim - 2))

        return Denoiser(affine, denoiser.prediction, denoiser.variance)
    exact = exact_x_0(model)

    def denoise(x: Tensor, level: Level):
        x_0 = exact(x, level)
        return denoiser.read(x, level, denoiser.prediction.target(level, x_0, level.eps(x, x_0)))

    return denoise


def truncated_entropy(count: int, clean: Level, limit: float) -> float:
    """The entropy of `truncated_normal` with `count` elements, in nats."""
    mass = math.erf(limit / math.sqrt(2))
    each = 0.5 * (1 + math.log(2 * math.pi)) + math.log(clean.sigma.item()) + math.log(mass)
    return count * (each - limit * math.exp(-(limit**2) / 2) / (math.sqrt(2 * math.pi) * mass))
