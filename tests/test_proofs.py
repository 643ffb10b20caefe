"""The tables of docs/proofs.md are what is computed, what they say holds, and what else samplers must do."""

import math
import re
from pathlib import Path

import pytest
import torch
from proof_tables import (
    HIGH,
    LOW,
    PROCESSES,
    SAMPLERS,
    STOCHASTIC,
    denoise,
    grid,
    moments,
    normal_denoise,
    orders,
)

from diffusion import (
    DDIM,
    Chain,
    Continuum,
    Cosine,
    DPMSolver,
    EvenLogSNR,
    Exploding,
    FixedSmall,
    Flow,
    Heun,
    Linear,
    ListSpacing,
    Straight,
    UniPC,
    VariancePreserving,
    Velocity,
    ZeroTerminal,
)
from diffusion.denoiser.denoiser import Denoiser
from diffusion.process.level import as_factor
from diffusion.samplers.sampler import draw, trajectory

PAGE = (Path(__file__).parents[1] / "docs" / "proofs.md").read_text()
X = torch.linspace(-2, 2, 5, dtype=torch.float64).view(-1, 1, 1, 1)
FEW = ["linear chain", "flow", "EDM, rho 7"]  # of the page's; the others take as long again
SOLVERS = [DDIM(), DPMSolver(), DPMSolver(order=3), Heun(), UniPC(), UniPC(order=3)]


@pytest.fixture(scope="module")
def tables():
    return dict(orders(FEW)), dict(moments(FEW))


def test_the_page_shows_the_slopes_that_are_computed(tables):
    for found in tables:
        for name, row in found.items():
            slopes = [cell[-1] for cell in row.values() if cell[-1] != math.inf]
            lines = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
            shown = [[float(number) for number in re.findall(r"\*\*(.*?)\*\*", line)] for line in lines]
            assert any(len(each) == len(slopes) and each == pytest.approx(slopes, abs=0.02) for each in shown), name


def test_every_sampler_is_of_its_order_on_every_process(tables):
    for row in tables[0].values():
        for kind, (first, last, slope) in row.items():
            order = SAMPLERS[kind][1]
            if order == 1:
                assert slope == pytest.approx(1, abs=0.05), kind
            elif kind in ("DPM-Solver++ 2", "Heun, ratio", "Heun, path"):
                assert slope == pytest.approx(2, abs=0.1), kind
            else:
                # Their first step is of order 1, and what that leaves is of order 2 in the end.
                assert 1.65 < slope < 3.2, kind
            assert last < first / 3
        last = {kind: cell[1] for kind, cell in row.items()}
        assert last["DPM-Solver++ 3"] < last["DPM-Solver++ 2"] < last["DDIM"] / 5
        assert last["Heun, path"] < last["DDIM"] / 5 > last["UniPC 2"]


def test_every_sampler_with_noise_draws_the_variance_to_its_order(tables):
    for row in tables[1].values():
        for kind, (error, slope) in row.items():
            order = STOCHASTIC[kind][1]
            if "exact" in kind:
                assert error < 1e-12
            else:
                assert slope == pytest.approx(1 if order == 1 else 2, abs=0.1), kind


@pytest.mark.parametrize("sampler", SOLVERS)
def test_a_path_is_a_grid_and_a_scale_and_no_more(sampler):
    # At the same log-SNR, and with the same noise, all paths draw the same image.
    log_snr, images = torch.linspace(LOW, HIGH, 20, dtype=torch.float64), []
    for path in (VariancePreserving(), VariancePreserving(data_std=0.5), Straight(), Exploding(data_std=0.5)):
        process = Continuum(EvenLogSNR(top=HIGH, bottom=LOW), path)
        levels = process.walk(process.at(log_snr))
        *_, end = sampler.walk(denoise, levels, as_factor(levels[0].sigma, X) * X, None)
        images.append(end.x)
    assert all(torch.allclose(image, images[0], rtol=0, atol=1e-10) for image in images[1:])


def test_samplers_of_order_1_are_one():
    levels = grid(PROCESSES["flow"], 30)
    ends = [[*sampler.walk(denoise, levels, X, None)][-1].x for sampler in (DDIM(), DPMSolver(order=1), Heun(order=1))]
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("sampler", SOLVERS)
@pytest.mark.parametrize("name", ["cosine chain", "flow", "EDM, rho 7"])
def test_up_and_down_again_comes_back(sampler, name):
    process = PROCESSES[name]

    def error(steps):
        levels = grid(process, steps)
        start = as_factor(levels[-1].alpha, X) * X / 3
        up = [*sampler.walk(denoise, levels[::-1], start, None)][-1].x
        return ([*sampler.walk(denoise, levels, up, None)][-1].x - start).abs().max().item()

    assert error(160) < 0.05 and error(160) < 0.7 * error(80)


@pytest.mark.parametrize("kind", [DDIM, DPMSolver, lambda **o: DPMSolver(order=3, **o), Heun, UniPC])
@pytest.mark.parametrize("betas", [Linear().betas(50), ZeroTerminal(of=Linear()).betas(50)])
def test_encoding_into_pure_noise_is_finite(kind, betas):
    steps = [*kind(steps=9).encode(normal_denoise, Chain(betas), X / 2)]
    assert all(part.isfinite().all() for step in steps for part in step) and len(steps) == 9


@pytest.mark.parametrize("sampler", [DDIM(), DPMSolver(), Heun(), UniPC()])
@pytest.mark.parametrize("prediction", [Velocity(), Flow()])
def test_a_walk_that_starts_at_an_image_takes_the_noise_that_the_network_names(sampler, prediction):
    process, asked = Continuum(EvenLogSNR(top=HIGH, bottom=LOW), Straight()), []
    levels = [process.image(), *reversed(grid(process, 20))]
    denoiser = Denoiser(lambda x, time: prediction.target(asked[-1], x, 0.7 * x), prediction, FixedSmall())

    def listening(x, level):
        asked.append(level)
        return denoiser(x, level)

    first, *_ = sampler.walk(listening, levels, X, None)
    assert torch.allclose(first.x, levels[1].x(X, 0.7 * X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampler", [*SOLVERS, DDIM(eta=1.0)])
def test_a_level_that_is_listed_twice_divides_by_nothing(sampler):
    levels = grid(PROCESSES["even log-SNR"], 6)
    steps = [*sampler.walk(denoise, [*levels[:3], *levels[2:]], X, lambda: torch.zeros_like(X))]
    assert all(step.x.isfinite().all() for step in steps)


@pytest.mark.parametrize("kind", [DDIM, DPMSolver, Heun, UniPC])
def test_bright_images_stay_bright_where_a_chain_ends_in_pure_noise(kind):
    # A chain that keeps a fifth of the signal at its end is begun without it, and draws images of mean 0.9 darker.
    shy, dark = Chain(torch.full((1000,), 0.003, dtype=torch.float64)), ZeroTerminal(of=Linear())
    for chain, right in ((shy, False), (Chain(dark.betas(1000)), True)):
        bright = lambda x, level: normal_denoise(x, level, 0.9)  # noqa: E731
        x = draw(trajectory(kind(steps=50), chain, bright, lambda: torch.zeros(1, 1, 1, 1).double()))
        assert (abs(x.item() - 0.9) < 2e-3) == right


def test_churn_adds_noise_at_its_bounds_and_asks_for_it_at_every_step():
    levels, asked, seen = grid(PROCESSES["exploding, rho 7"], 6), [], []
    place = (levels[2].sigma / levels[2].alpha).item()

    def listening(x, level):
        seen.append(level.sigma.item())
        return denoise(x, level)

    sampler = Heun(order=1, churn=100.0, churn_low=place, churn_high=place)
    [*sampler.walk(listening, levels, X, lambda: asked.append(1) or torch.zeros_like(X))]
    raised = [now / level.sigma.item() for now, level in zip(seen, levels, strict=False)]
    assert raised == pytest.approx([1, 1, math.sqrt(2), 1, 1, 1]) and len(asked) == 6


def test_churn_on_a_chain_meets_levels_between_its_steps():
    chain, asked = Chain(Cosine().betas(100)), []

    def listening(x, level):
        asked.append(level)
        return denoise(x, level)

    draw(trajectory(Heun(steps=5, order=1, churn=1.0), chain, listening, lambda: torch.zeros(1, 1, 1, 1).double()))
    t = torch.cat([level.time.double() for level in asked[1:]])
    assert ((t > 0) & (t != t.round())).any()
    for level in asked[1:]:
        own = chain.level(level.time.double())
        assert torch.allclose(level.alpha, own.alpha, rtol=0, atol=1e-12)
        assert torch.allclose(level.alpha**2 + level.sigma**2, torch.ones(1).double(), rtol=0, atol=1e-12)


def test_a_network_that_knows_whole_times_only_is_not_asked_between_them():
    class Table:
        whole_times = True

        def __call__(self, x, time):
            return 0 * x

    denoiser, chain = Denoiser(Table(), Velocity(), FixedSmall()), Chain(Cosine().betas(100))
    noise = lambda: torch.zeros(1, 1, 1, 1)  # noqa: E731
    draw(trajectory(DDIM(steps=5), chain, denoiser, noise))
    with pytest.raises(ValueError, match=r"^the network knows whole times only[^\n]*sampler/spacing=even[^\n]*churn$"):
        draw(trajectory(DPMSolver(steps=5), chain, denoiser, noise))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Heun(order=3), r"order=3 is unknown to this sampler, which has 1 and 2; set sampler\.order=2"),
        (lambda: DPMSolver(order=4), r"which has 1, 2 and 3; set sampler\.order=3"),
        (lambda: DPMSolver(order=3, eta=0.5), r"sampler\.eta=0, or sampler\.order=2"),
        (lambda: UniPC(order=0), r"sampler\.order=3"), (lambda: Heun(churn=-1.0), r"sampler\.churn=0"),
        (lambda: Heun(churn_low=2.0, churn_high=1.0), r"sampler\.churn_low"),
        (lambda: Heun(coordinate="time"), r"sampler\.coordinate=ratio or path"),
        (lambda: ListSpacing(), r"sampler\.spacing\.t"), (lambda: ListSpacing(t=[1], ratio=[1.0]), r"got 2 of them"),
    ],
)  # fmt: skip
def test_settings_that_no_sampler_has_are_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        make()


@pytest.mark.parametrize(
    "spacing",
    [
        ListSpacing(t=[100, 5]), ListSpacing(t=[-1]), ListSpacing(t=[5, 9]), ListSpacing(ratio=[1e6, 1.0]),
        ListSpacing(log_snr=[0.0, 60.0]),
    ],
)  # fmt: skip
def test_a_grid_outside_of_the_process_is_refused_in_one_line(spacing):
    with pytest.raises(ValueError, match=r"^[^\n]*sampler\.spacing\.[^\n]*$"):
        DDIM(spacing=spacing).levels(Chain(Cosine().betas(100)))
