"""Samplers where a formula could divide by nothing: pure noise, the image, one step, a level listed twice, churn."""

import math
from collections import deque

import pytest
import torch
from proofs.mixture import LINE, TWO, Mixture, float64
from proofs.pure_noise import SAMPLERS, chains

from diffusion import (
    DDIM,
    Ancestral,
    Chain,
    Continuum,
    CosineLogSNR,
    DPMSolver,
    Epsilon,
    EvenLogSNR,
    Exploding,
    FixedSmall,
    Flow,
    Heun,
    KarrasSpacing,
    LearnedRange,
    Linear,
    ListSpacing,
    LogSNRSpacing,
    MinSNRWeighting,
    Start,
    Straight,
    StraightTime,
    UniPC,
    VariancePreserving,
    Velocity,
)
from diffusion.denoiser.denoiser import Denoised, Denoiser, clip, transformed
from diffusion.process.level import Level, Move, moves
from diffusion.samplers.sampler import draw, trajectory

CHAIN = Chain(Linear().betas(1000))
PURE = chains()["pure"]
CONTINUUM = Continuum(CosineLogSNR(), VariancePreserving())
STRAIGHT = Continuum(StraightTime(bottom=-math.inf), Straight())
QUIET = {name: sampler for name, sampler in SAMPLERS.items() if not sampler.draws_noise}
whichever = pytest.mark.parametrize("name", SAMPLERS)
quietly = pytest.mark.parametrize("name", QUIET)


def with_(sampler, **changes):
    """The same sampler, these settings changed."""
    return type(sampler)(**{**{key: vars(sampler)[key] for key in sampler.settings}, **changes})


def noises(seed: int = 0):
    chance = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(len(LINE), 1, dtype=torch.float64, generator=chance)


@whichever
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
@pytest.mark.parametrize("process", [PURE, STRAIGHT], ids=["chain", "straight"])
def test_no_sampler_divides_by_the_nothing_in_pure_noise(process, name, steps):
    assert process.walk(process.evenly(steps))[0].alpha == 0
    x = draw(trajectory(with_(SAMPLERS[name], steps=steps), process, TWO.denoise, noises()))
    assert x.isfinite().all() and x.abs().max() < 2


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("process", [PURE, CHAIN], ids=["pure", "short"])
def test_a_learned_variance_is_finite_from_the_first_step_to_the_last(process, steps):
    denoise = Denoiser(lambda x, time: torch.cat([x, torch.full_like(x, 3.0)], dim=1), Velocity(), LearnedRange())
    assert draw(trajectory(Ancestral(steps=steps), process, transformed(denoise, clip), noises())).isfinite().all()


@whichever
def test_a_chain_of_one_step_is_walked_to_the_expected_image(name):
    alone, noise = CHAIN.respace([999]), noises()()
    sampler = with_(SAMPLERS[name], steps=1)
    (step,) = trajectory(sampler, alone, TWO.denoise, lambda: noise)
    first = sampler.levels(alone)[0]
    if sampler.draws_noise and name.startswith("Heun"):
        return  # churn has changed x_T
    wanted = TWO.x_0(first.std * noise, first)
    assert torch.allclose(step.x, wanted, rtol=0, atol=1e-12) and torch.equal(step.x, step.x_0)


@whichever
@pytest.mark.parametrize("process", [CONTINUUM, CHAIN], ids=["continuum", "chain"])
def test_a_level_listed_twice_is_a_step_of_no_length(process, name):
    log_snr = torch.linspace(-6, 6, 60, dtype=torch.float64).tolist()
    once = with_(SAMPLERS[name], steps=None, spacing=ListSpacing(log_snr=log_snr)).levels(process)
    levels = [*once[:30], *once[29:]]
    assert levels[29].alpha == levels[30].alpha
    noise = noises()
    *_, end, _ = SAMPLERS[name].walk(TWO.denoise, levels, LINE * levels[0].std, noise)
    assert end.x.isfinite().all()
    if not SAMPLERS[name].draws_noise:
        wanted = TWO.transport(LINE * levels[0].std, levels[0], levels[-2])
        assert (end.x - wanted).abs().max() < 0.05


@quietly
@pytest.mark.parametrize("process", [CHAIN, PURE, CONTINUUM, STRAIGHT], ids=["chain", "pure", "continuum", "straight"])
def test_encoding_ends_in_pure_noise_at_every_order(process, name):
    # The points' places among all images are those of x_T among all noise.
    sampler = with_(QUIET[name], steps=200)
    *_, end = sampler.encode(TWO.denoise, process, LINE / 2)
    wanted = torch.special.ndtri(TWO.cdf(LINE / 2, process.image()))
    assert end.x.isfinite().all() and (end.x - wanted).abs().max() < 0.12
    back = draw(trajectory(sampler, process, TWO.denoise, lambda: end.x))
    assert (back - LINE / 2).abs().mean() < 0.05


PREDICTED = [(Velocity(), VariancePreserving()), (Flow(), Straight()), (Epsilon(), VariancePreserving()),
             (Velocity(), VariancePreserving(data_std=0.5))]  # fmt: skip


@quietly
@pytest.mark.parametrize("prediction, path", PREDICTED, ids=["velocity", "flow", "epsilon", "velocity_0.5"])
def test_a_walk_may_begin_at_an_image_whose_noise_the_network_tells(name, prediction, path):
    process, eps = Continuum(EvenLogSNR(), path), torch.linspace(-1, 1, len(LINE), dtype=torch.float64)[:, None]
    image = process.level(float64(math.inf))
    assert image.sigma == 0

    def network(x, time):  # names this eps and the image, at whatever level
        level = process.level(process.t(time[:1].double() / 1000)) if time[0] > 0 else image
        return prediction.target(level, LINE, eps)

    levels = [image, *process.walk(float64(4, 0, -4))[:-1][:1], *process.walk(float64(0, -4))[:-1]]
    first, *others = QUIET[name].walk(Denoiser(network, prediction, FixedSmall()), levels, image.x(LINE, eps), None)
    assert torch.allclose(first.x, levels[1].x(LINE, eps), rtol=0, atol=1e-4)  # times are told in float32
    assert all(step.x.isfinite().all() for step in others)
    # All images on the way are that image with that noise, as the network has it.
    assert torch.allclose(others[-1].x, levels[-1].x(LINE, eps), rtol=0, atol=1e-3)


def test_what_does_not_tell_the_noise_of_an_image_says_so_in_a_line():
    process = Continuum(EvenLogSNR(), VariancePreserving())
    levels = [process.image(), *process.walk(float64(0))[:-1]]
    with pytest.raises(ValueError, match=r"^Start says nothing of the noise in an image; [^\n]*=velocity$"):
        next(DDIM().walk(Denoiser(lambda x, time: x, Start(), FixedSmall()), levels, LINE, None))
    with pytest.raises(ValueError, match=r"^this denoiser says nothing of the noise in an image; [^\n]*$"):
        next(DDIM().walk(lambda x, level: Denoised(x, None), levels, LINE, None))


# Churn


def levels_asked(sampler: Heun, process):
    """The levels that Euler's method asks at, and those that it lists."""
    asked: list[Level] = []

    def denoise(x, level):
        asked.append(level)
        return TWO.denoise(x, level)

    levels = sampler.levels(process)
    deque(sampler.walk(denoise, levels, LINE, noises()), maxlen=0)
    return asked, levels


CHURN = {"steps": 8, "order": 1, "churn": 2.0}


@pytest.mark.parametrize(
    "process", [CHAIN, Continuum(EvenLogSNR(top=6.0, bottom=-6.0), Exploding())], ids=["chain", "edm"]
)
def test_the_bounds_of_churn_are_among_what_is_churned(process):
    ratios = [(level.sigma / level.alpha).item() for level in Heun(steps=8).levels(process)[:-1]]
    for low, high, churned in (
        (ratios[5], ratios[2], {2, 3, 4, 5}),
        (0.0, None, set(range(8))),
        (ratios[0] * 2, None, set()),
    ):
        asked, levels = levels_asked(Heun(**CHURN, churn_low=low, churn_high=high), process)
        rises = {k for k, (at, listed) in enumerate(zip(asked, levels, strict=False)) if at.log_snr < listed.log_snr}
        assert rises == churned
        # sigma / alpha rises by the factor 1 + churn / steps.
        for k in churned:
            rise = (asked[k].sigma / asked[k].alpha / ratios[k]).item()
            assert rise == pytest.approx(1.25, rel=1e-9)


def test_churn_never_more_than_doubles_the_variance_of_noise():
    asked, levels = levels_asked(Heun(steps=8, order=1, churn=100.0), CONTINUUM)
    for at, listed in zip(asked, levels, strict=False):
        assert (at.sigma / at.alpha / (listed.sigma / listed.alpha)).item() == pytest.approx(math.sqrt(2), rel=1e-9)


@pytest.mark.parametrize(
    "bounds", [{}, {"churn_low": 0.5, "churn_high": 2.0}, {"churn_low": 1e6}], ids=["all", "some", "none"]
)
def test_noise_is_drawn_at_every_step_wherever_churn_is(bounds):
    for process, steps in ((CHAIN, 8), (PURE, 8), (CONTINUUM, 5)):
        count = []

        def noise():
            count.append(1)  # noqa: B023
            return torch.zeros_like(LINE)

        draw(trajectory(Heun(steps=steps, churn=2.0, **bounds), process, TWO.denoise, noise))
        assert len(count) == 1 + steps


def test_churn_on_a_chain_asks_between_its_steps():
    heard = []

    def network(x, time):
        heard.append(time[0].item())
        return x

    denoise = Denoiser(network, Velocity(), FixedSmall())
    sampler = Heun(steps=8, order=1, churn=2.0)
    levels = sampler.levels(CHAIN)
    deque(sampler.walk(denoise, levels, LINE, noises()), maxlen=0)
    for level, time in zip(levels[1:], heard[1:], strict=False):
        wanted = level.log_snr - 2 * math.log(1.25)
        assert CHAIN.level(float64(time)).log_snr.item() == pytest.approx(wanted.item(), rel=1e-9)
        assert time != round(time)
    assert heard[0] == 999  # noisier than any of its steps, told the time of the last


def test_a_network_of_whole_times_is_asked_at_those_alone():
    def network(x, time):
        return x

    network.whole_times = True
    told, sampler = Denoiser(network, Velocity(), FixedSmall()), Heun(steps=8, order=1, churn=2.0)
    assert draw(trajectory(DDIM(steps=8), CHAIN, told, noises())).isfinite().all()
    levels = sampler.levels(CHAIN)
    with pytest.raises(
        ValueError, match=r"^the network knows whole times only and is asked at [\d.]+, between [^\n]*$"
    ):
        next(sampler.walk(told, levels[1:], LINE, noises()))


def test_the_noise_of_churn_adds_exactly_what_the_level_lacks():
    here, z = CONTINUUM.level(float64(0.7)), noises()()
    move = Move(here, CONTINUUM.level(float64(1.0)))
    for times in (1.0, 1.003):
        x, up = Heun(churn=1.0, churn_noise=times).churned(move, LINE, z, math.log(1.3))
        a = up.here.alpha / here.alpha
        assert torch.allclose(x, a * LINE + times * (up.here.sigma**2 - a**2 * here.sigma**2).sqrt() * z, rtol=1e-12)
        assert up.there is move.there


def test_a_process_without_levels_between_says_that_it_cannot_be_churned():
    bare = [
        Level(*(part.clone() for part in (level.alpha, level.sigma, level.time)))
        for level in CHAIN.walk(torch.tensor([900, 300]))
    ]
    with pytest.raises(ValueError, match=r"^this process has no levels between[^\n]*sampler\.churn=0$"):
        next(Heun(churn=1.0).walk(TWO.denoise, bare, LINE, noises()))


# Levels between and beyond the steps of a chain, and the moves that lists of levels make


def test_beyond_the_ends_of_a_chain_lies_its_end():
    for chain in (CHAIN, PURE):
        noisiest = chain.level(torch.tensor([998])).log_snr
        assert chain.at(float64(-50, 50, math.inf)).tolist() == [999 if chain is CHAIN else 998, 0, 0]
        assert chain.at(noisiest).item() == 998
        assert chain.at(float64(-math.inf)).item() == 999
        t = torch.tensor([0.0, 0.25, 500.5, 997.75], dtype=torch.float64)
        assert torch.allclose(chain.at(chain.level(t).log_snr), t, rtol=0, atol=1e-9)


def test_between_two_steps_log_snr_and_time_run_along_straight_lines():
    times = torch.tensor([0.0, 10.0, 40.0])
    chain = Chain(float64(0.1, 0.3, 0.6), times)
    whole, level = chain.level(torch.arange(3)), chain.level(float64(0.0, 0.25, 1.0, 1.5, 2.0))
    wanted = [whole.log_snr[0], 0.75 * whole.log_snr[0] + 0.25 * whole.log_snr[1], whole.log_snr[1],
              (whole.log_snr[1] + whole.log_snr[2]) / 2, whole.log_snr[2]]  # fmt: skip
    assert level.log_snr.tolist() == pytest.approx([each.item() for each in wanted], rel=1e-12)
    assert level.time.tolist() == [0.0, 2.5, 10.0, 25.0, 40.0]
    assert torch.allclose(level.alpha**2 + level.sigma**2, torch.ones(5, dtype=torch.float64))


def test_a_single_level_makes_no_move():
    assert moves([CHAIN.image()]) == moves([CHAIN.pure_noise()]) == moves([]) == []
    (only,) = moves([CHAIN.pure_noise(), CHAIN.level(torch.tensor([3]))])
    assert only.floor is None


@pytest.mark.parametrize("s", [0.5, 1.0, 2.0])
def test_whatever_the_spread_of_the_data_variance_is_preserved_and_an_error_of_v_is_one_of_unit_data(s):
    for path in (VariancePreserving(data_std=s), Exploding(data_std=s)):
        level = Continuum(EvenLogSNR(), path).level(float64(-9, -1, 0, 3, 9))
        std = (level.alpha**2 * s**2 + level.sigma**2).sqrt()
        assert torch.allclose(std, torch.ones_like(std)) == isinstance(path, VariancePreserving)
        assert torch.allclose(level.std, std, rtol=1e-12) and torch.allclose(Velocity().det(level), std / s, rtol=1e-12)
        # v of the data over their spread, as data of spread 1 would have it, over the same noise.
        p, q = Velocity().pair(level)
        assert torch.allclose(torch.stack([p * s, q]), torch.stack([-level.sigma, level.alpha * s]) / std, rtol=1e-12)


def test_a_grid_of_ratios_has_as_many_levels_as_asked_for_and_begins_at_pure_noise_unless_told_where():
    for spacing in (LogSNRSpacing(), KarrasSpacing()):
        levels = DDIM(steps=7, spacing=spacing).levels(PURE)
        assert len(levels) == 8 and levels[0].alpha == 0 and levels[1].alpha > 0
    levels = DDIM(steps=7, spacing=KarrasSpacing(high=20.0, low=0.05)).levels(PURE)
    ratios = [(level.sigma / level.alpha).item() for level in levels[:-1]]
    rho = [20 ** (1 / 7) + k / 6 * (0.05 ** (1 / 7) - 20 ** (1 / 7)) for k in range(7)]  # Karras et al. 2022, eq. 5
    assert ratios == pytest.approx([each**7 for each in rho], rel=1e-9)


# Defaults, and where and in what precision images are


@pytest.mark.parametrize("kind", [Ancestral, DDIM, DPMSolver, Heun, UniPC])
def test_without_a_word_a_sampler_clips_takes_every_step_and_is_of_order_2_without_noise(kind):
    usual = kind().settings
    assert usual["clip"] is True and usual["steps"] is None and usual.get("order", 2) == 2
    assert usual["spacing"] == ("logsnr" if kind in (DPMSolver, UniPC) else "")
    assert usual.get("eta", 0) == usual.get("churn", 0) == usual.get("churn_low", 0) == 0
    assert kind().draws_noise == (kind is Ancestral)


@whichever
@pytest.mark.parametrize("process", [CHAIN, CONTINUUM, STRAIGHT], ids=["chain", "continuum", "straight"])
def test_images_are_drawn_where_the_noise_is(process, name):
    # The meta device takes nothing from the CPU unasked, as a GPU.
    denoise = transformed(Denoiser(lambda x, time: x, Velocity(), FixedSmall()), clip)
    sampler = with_(SAMPLERS[name], steps=5)
    assert draw(trajectory(sampler, process, denoise, lambda: torch.zeros(2, 1, 4, 4, device="meta"))).is_meta


@whichever
def test_float32_images_stay_so_and_near_those_in_float64(name):
    sampler, ends = with_(SAMPLERS[name], steps=20), []
    for dtype in (torch.float64, torch.float32):
        noise = noises()
        denoise = lambda x, level: TWO.denoise(x.double(), level)._replace(x_0=TWO.x_0(x.double(), level).to(x))  # noqa: E731
        if name == "ancestral":
            denoise = Denoiser(lambda x, time: (x / 2).to(x), Velocity(), FixedSmall())
        ends.append(draw(trajectory(sampler, CONTINUUM, denoise, lambda: noise().to(dtype))))  # noqa: B023
    assert ends[1].dtype == torch.float32
    assert torch.allclose(ends[1].double(), ends[0], rtol=0, atol=2e-5)


def test_heun_costs_two_calls_a_step_but_for_the_last():
    for sampler, calls in (
        (Heun(steps=7), 13),
        (Heun(steps=7, order=1), 7),
        (DPMSolver(steps=7), 7),
        (UniPC(steps=7), 7),
    ):
        count = []

        def denoise(x, level):
            count.append(level)  # noqa: B023
            return TWO.denoise(x, level)

        draw(trajectory(sampler, CONTINUUM, denoise, noises()))
        assert len(count) == calls


@pytest.mark.parametrize("coordinate, calls", [("ratio", 6), ("path", 7)])
def test_out_of_pure_noise_heun_asks_once_along_the_ratio_and_twice_along_the_path(coordinate, calls):
    count = []

    def denoise(x, level):
        count.append(level)
        return TWO.denoise(x, level)

    draw(trajectory(Heun(steps=4, coordinate=coordinate), STRAIGHT, denoise, noises()))
    assert len(count) == calls


def test_the_mixture_is_what_it_says():
    # The oracle itself: x_0 is Tweedie's x_t + sigma^2 grad log p, and one part is a normal distribution.
    level, x = CONTINUUM.level(float64(0.3)), LINE.clone().requires_grad_()
    (score,) = torch.autograd.grad(TWO.log_p(x, level).sum(), x)
    assert torch.allclose(TWO.x_0(LINE, level), (LINE + level.sigma**2 * score) / level.alpha, rtol=1e-9)
    (density,) = torch.autograd.grad(TWO.cdf(x, level).sum(), x)
    assert torch.allclose(density[:, 0], TWO.log_p(LINE, level).exp(), rtol=1e-9)
    one, there = Mixture([1.0], [0.2], [0.5]), CONTINUUM.level(float64(2.0))
    moved = one.spread(there) / one.spread(level) * (LINE - level.alpha * 0.2) + there.alpha * 0.2
    assert torch.allclose(one.transport(LINE, level, there), moved, rtol=0, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_min_snr_is_cut_off_at_any_positive_number(gamma):
    weight = MinSNRWeighting(gamma=gamma)(float64(-20, 0, 20))
    snr = float64(-20, 0, 20).exp()
    assert torch.allclose(weight, snr.clamp(max=gamma) / (1 + snr), rtol=1e-12)
