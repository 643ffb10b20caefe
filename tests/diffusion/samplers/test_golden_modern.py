"""Whole trajectories of diffusers, k-diffusion, EDM and flow_matching, from the initial noise to the image."""

import math
from dataclasses import replace

import pytest
import torch
from modern_cases import PREDICTIONS, assert_modern, chain_of, denoise_of, exact_x_0, model_of, modern, tensors

from diffusion import (
    DDIM,
    Continuum,
    DPMSolver,
    Epsilon,
    EvenSpacing,
    Exploding,
    FixedSmall,
    Flow,
    Heun,
    KarrasSpacing,
    LeadingSpacing,
    ListSpacing,
    LogSNRSpacing,
    Prediction,
    Straight,
    StraightTime,
    TrailingSpacing,
    UniPC,
    Velocity,
)
from diffusion.denoiser.denoiser import Denoised, Denoiser
from diffusion.process.level import Level, as_factor
from diffusion.process.log_snr import EvenLogSNR

LEFT_OUT = {
    "a step that leads to t - T // steps while the next listed time is another": (
        "ddim_linear_linspace_eta1", "ddim_cosine_trailing_v_eta", "ddim_zero_terminal_snr_trailing_v",
    ),
    "a last step that is of order 1 for the sake of stability": (
        "dpmpp2m_linear_final_sigma_min", "dpmpp2m_linear_final_sigma_min_euler",
    ),
    "the form of order 2 that is called heun, of which there is no sampler here": (
        "dpmpp2m_linear_trailing_x0_heun", "sde_dpmpp2m_linear_heun_karras", "k_dpmpp2m_sde_heun",
    ),
    "solvers that are not here": (
        "k_dpm2_exponential", "k_dpmpp_sde", "k_dpmpp2s_ancestral", "unipc2_bh1_linear_v",
    ),
    "limits of a network, and grids and clocks, of one package": (
        "edm_heun_net_limits", "edm_ablation_vp", "edm_ablation_iddpm", "flow_midpoint", "flow_rk4",
    ),
    "times that are rounded while the state is not": (
        "dpmpp2m_linear_affine_karras", "k_dpmpp2m_affine_time_quantized",
    ),
}  # fmt: skip
SKIPPED = [case for cases in LEFT_OUT.values() for case in cases]


def denoiser_of(prediction):
    return Denoiser(lambda *_: None, PREDICTIONS[prediction], FixedSmall())


def walked(sampler, levels, denoise, x, noise=()):
    """What the denoiser was asked, (x, level), and every step."""
    asked, drawn = [], iter(noise)

    def listening(x, level):
        asked.append((x, level))
        return denoise(x, level)

    return asked, list(sampler.walk(listening, levels, x, lambda: next(drawn)))


def ratio(level):
    return (level.sigma / level.alpha).item()


def spacing_of(args, inputs, expected):
    """The rule by which this library's solver of many steps spaces them."""
    if args.get("use_karras_sigmas"):
        return KarrasSpacing()
    if args.get("use_lu_lambdas"):
        return LogSNRSpacing()
    if "custom_timesteps" in inputs:
        return ListSpacing(t=inputs["custom_timesteps"].tolist())
    if "lambda_min_clipped" in args:
        return ListSpacing(t=expected["timesteps"].tolist())
    if args.get("final_sigmas_type") == "sigma_min":
        return ListSpacing(t=[*expected["timesteps"].tolist(), 0], to_image=False)
    rules = {
        "linspace": EvenSpacing(skip_first=True),
        "leading": LeadingSpacing(offset=args.get("steps_offset", 0), skip_first=True),
        "trailing": TrailingSpacing(),
    }
    return rules[args["timestep_spacing"]]


@pytest.mark.parametrize("case, inputs, expected", modern(20, "solver_dpm", "solver_unipc", without=SKIPPED))
def test_solvers_of_many_steps(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    spacing, chain = spacing_of(args, inputs, expected), chain_of(args)
    steps = None if isinstance(spacing, ListSpacing) else args["n"]
    if args["solver"] == "unipc":
        sampler = UniPC(steps=steps, spacing=spacing, order=args.get("solver_order", 2))
    else:
        noisy = args.get("algorithm_type") == "sde-dpmsolver++"
        sampler = DPMSolver(steps=steps, spacing=spacing, order=args.get("solver_order", 2), eta=float(noisy))
    denoise = denoise_of(model_of(inputs), denoiser_of(args["network_predicts"]), args["T"])
    levels = sampler.levels(chain)
    asked, steps = walked(sampler, levels, denoise, inputs["x_init"], inputs.get("noise", ()))
    if "timesteps" in expected and not (args.get("use_karras_sigmas") or args.get("use_lu_lambdas")):
        assert [level.time.item() for _, level in asked] == expected["timesteps"].tolist()
    assert_modern(case, "sigmas", [ratio(level) for level in levels], expected["sigmas"])
    assert_modern(case, "trajectory", torch.stack([inputs["x_init"], *(s.x for s in steps)]), expected["trajectory"])
    assert_modern(case, "x0_predictions", torch.stack([s.x_0 for s in steps]), expected["x0_predictions"])


@pytest.mark.parametrize("case, inputs, expected", modern(20, "solver_heun", "solver_euler"))
def test_solvers_of_one_step(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    sigmas = [r for i, r in enumerate(expected["sigmas"]) if i == 0 or r != expected["sigmas"][i - 1]]
    spacing = KarrasSpacing() if args.get("use_karras_sigmas") else ListSpacing(ratio=sigmas[:-1])
    kind = Heun if args["solver"] == "heun" else DDIM
    sampler = kind(steps=args["n"], spacing=spacing)
    levels = sampler.levels(chain_of(args))
    denoise = denoise_of(model_of(inputs), denoiser_of(args["network_predicts"]))
    asked, steps = walked(sampler, levels, denoise, as_factor(levels[0].alpha, inputs["x_init"]) * inputs["x_init"])
    assert_modern(case, "sigmas", [ratio(level) for level in levels], torch.tensor(sigmas).numpy())
    if "A" in model_of(inputs):
        times = torch.tensor([level.time.item() for _, level in asked])
        assert torch.allclose(times, torch.from_numpy(expected["timesteps"]).float())
    states = [x / as_factor(level.alpha, x) for x, level in asked]
    assert_modern(case, "trajectory", torch.stack([*states, steps[-1].x]), expected["trajectory"])
    assert_modern({**case, "id": ""}, "the image", steps[-1].x, expected["trajectory"][-1])


@pytest.mark.parametrize("case, inputs, expected", modern(20, "solver_ddim", without=SKIPPED))
def test_ddim(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    spacing = LeadingSpacing(offset=args.get("steps_offset", 0))
    if not args.get("set_alpha_to_one", True):
        spacing = ListSpacing(t=[*expected["timesteps"].tolist(), 0], to_image=False)
    sampler = DDIM(steps=None if isinstance(spacing, ListSpacing) else args["n"], spacing=spacing, eta=args["eta"])
    denoise = denoise_of(model_of(inputs), denoiser_of(args["network_predicts"]), args["T"])
    asked, steps = walked(sampler, sampler.levels(chain_of(args)), denoise, inputs["x_init"], inputs.get("noise", ()))
    if args.get("set_alpha_to_one", True):
        assert [level.time.item() for _, level in asked] == expected["timesteps"].tolist()
    assert_modern(case, "trajectory", torch.stack([inputs["x_init"], *(s.x for s in steps)]), expected["trajectory"])
    assert_modern(case, "x0_predictions", torch.stack([s.x_0 for s in steps]), expected["x0_predictions"])


def k_sampler(args, spacing):
    options = {"steps": args["n"], "spacing": spacing}
    if args["sampler"] == "heun":
        churn = {name: args.get(f"s_{old}") for name, old in (("churn", "churn"), ("churn_low", "tmin"))}
        churn |= {"churn_high": args.get("s_tmax"), "churn_noise": args.get("s_noise")}
        options |= {name: value for name, value in churn.items() if value is not None}
        return Heun(**options)
    if args["sampler"] in ("euler", "euler_ancestral"):
        return DDIM(**options, eta=args.get("eta", 0.0))
    return DPMSolver(**options, eta=args.get("eta", 0.0))


K = [case for case in modern(20, without=SKIPPED) if case.id.startswith("k_")]


@pytest.mark.parametrize("case, inputs, expected", K)
def test_k_diffusion(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    grids = {"karras": KarrasSpacing(rho=args.get("rho", 7.0)), "exponential": LogSNRSpacing()}
    evenly = [i * (args["T"] - 1) / (args["n"] - 1) for i in reversed(range(args["n"]))]
    spacing = grids.get(args["grid"]) or ListSpacing(t=evenly)
    sampler = k_sampler(args, spacing)
    levels = sampler.levels(chain_of(args))
    denoise = denoise_of(model_of(inputs), denoiser_of(args["network_predicts"]), args["T"])
    x = as_factor(levels[0].alpha, inputs["x_init"]) * inputs["x_init"]
    silent = torch.zeros_like(x)  # the last step, to the image, has no noise there
    asked, steps = walked(sampler, levels, denoise, x, [*inputs.get("noise", ()), silent])
    assert_modern(case, "sigmas", [ratio(level) for level in levels], expected["sigmas"])
    assert_modern(case, "asked_sigma", [ratio(level) for _, level in asked], expected["asked_sigma"])
    assert_modern(case, "asked_time", [level.time.item() for _, level in asked], expected["asked_time"])
    asked_x = torch.stack([x / as_factor(level.alpha, x) for x, level in asked])
    assert_modern(case, "asked_x", asked_x, expected["asked_x"])
    assert_modern(case, "sample", steps[-1].x, expected["sample"])


def edm_denoise(model):
    exact = exact_x_0(model)
    return lambda x, level: Denoised(exact(x, level), None)


@pytest.mark.parametrize(
    "case, inputs, expected", modern(21, "edm_sampler", "edm_ablation", "ablation_sampler", without=SKIPPED)
)
def test_edm(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    spacing = KarrasSpacing(rho=args.get("rho", 7), low=args.get("sigma_min", 0.002), high=args.get("sigma_max", 80.0))
    process = Continuum(EvenLogSNR(), Exploding(data_std=0.5))
    churn = {
        "churn": args.get("S_churn", 0),
        "churn_low": args.get("S_min", 0.0),
        "churn_noise": args.get("S_noise", 1.0),
    }
    churn |= {"churn_high": None if args.get("S_max", "inf") == "inf" else args["S_max"]}
    order = 1 if "euler" in case["id"] else 2
    sampler = Heun(steps=args["num_steps"], spacing=spacing, order=order, **churn)
    levels = sampler.levels(process)
    denoise, x = edm_denoise(model_of(inputs)), inputs["latents"] * levels[0].sigma
    asked, steps = walked(sampler, levels, denoise, x, inputs.get("noise", ()))
    assert_modern(case, "asked_sigma", [level.sigma.item() for _, level in asked], expected["asked_sigma"])
    assert_modern(case, "asked_x", torch.stack([x for x, _ in asked]), expected["asked_x"])
    assert_modern(case, "sample", steps[-1].x, expected["sample"])


@pytest.mark.parametrize("case, inputs, expected", modern(21, "precond"))
def test_edm_preconditioning_is_the_velocity_of_an_exploding_path(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    if args["kind"] == "EDMPrecond":
        path, prediction, sign = Exploding(data_std=args["sigma_data"]), Velocity(), -1
    else:  # iDDPM's and VP's: the noise, of a path whose c_in is that of data of standard deviation 1
        path, prediction, sign = Exploding(data_std=1.0), Epsilon(), 1
    seen = []

    def network(x, time):
        seen.append(x)
        return sign * inputs["network_output"][:, : x.shape[1]]

    sigma = inputs["sigma"].flatten()
    level = Continuum(EvenLogSNR(), path).level(-2 * sigma.log())
    said = Denoiser(network, prediction, FixedSmall())(inputs["x"], level)
    assert_modern(case, "denoised", said.x_0, expected["denoised"])
    assert_modern(case, "network_input", seen[0], expected["network_input"])


FLOW = Continuum(StraightTime(top=math.inf, bottom=-math.inf), Straight())


def flow_levels(sigmas):
    """Levels of the straight path by their sigma, of which 1 is pure noise and 0 the image."""
    return [FLOW.level(-2 * torch.tensor([s], dtype=torch.float64).logit()) for s in sigmas]


def flow_denoiser(m, s):
    """A network that gives the exact eps - x_0 of normal data."""

    def network(x, time):
        t = 1 - time.double().view(-1, *[1] * (x.ndim - 1)) / 1000
        return -(m + (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2) * (x - t * m))

    exact = Denoiser(network, Flow(), FixedSmall())
    # The time in float64, where the library tells it in float32.
    return lambda x, level: exact(x, replace(level, time=1000 * level.sigma))


@pytest.mark.parametrize("case, inputs, expected", modern(22, "flow_ode", without=SKIPPED))
def test_flow_matching(case, inputs, expected):
    """Left out: integrators of one package; and the second call of heun2 at the image itself, where no sampler asks."""
    inputs = tensors(inputs)
    sampler = DDIM() if case["args"]["method"] == "euler" else Heun(coordinate="path")
    levels = flow_levels((1 - inputs["time_grid"]).tolist())
    _, steps = walked(sampler, levels, flow_denoiser(inputs["m"], inputs["s"]), inputs["x_init"])
    end = len(steps) if case["args"]["method"] == "euler" else len(steps) - 1
    got = torch.stack([inputs["x_init"], *(step.x for step in steps[:end])])
    assert_modern(case, "trajectory", got, expected["trajectory"][: end + 1])


@pytest.mark.parametrize("case, inputs, expected", modern(22, "flow_diffusers"))
def test_flow_matching_of_diffusers(case, inputs, expected):
    inputs = tensors(inputs)
    sigmas = list(dict.fromkeys(expected["sigmas"].tolist()))
    heun = "Heun" in case["args"]["peer"]
    sampler, levels = Heun(coordinate="path") if heun else DDIM(), flow_levels(sigmas)
    asked, steps = walked(sampler, levels, flow_denoiser(inputs["m"], inputs["s"]), inputs["x_init"])
    assert [level.time.item() for _, level in asked] == pytest.approx(expected["timesteps"].tolist(), rel=1e-6)
    assert_modern(case, "trajectory", torch.stack([*(x for x, _ in asked), steps[-1].x]), expected["trajectory"])


@pytest.mark.parametrize("case, inputs, expected", modern(22, "flow_path"))
def test_paths(case, inputs, expected):
    """Each as the levels of its own alpha and sigma: what the network is trained on, and what its velocity means."""
    inputs = tensors(inputs)
    alpha, sigma, d_alpha, d_sigma = (torch.from_numpy(expected[n]) for n in ("alpha", "sigma", "d_alpha", "d_sigma"))
    level = Level(alpha, sigma, torch.zeros_like(alpha), data_std=1.0)

    class Derivative(Prediction):
        def pair(self, level):
            return d_alpha, d_sigma

    noise, data = inputs["x0"], inputs["x1"]
    assert_modern(case, "x_t", level.x(data, noise), expected["x_t"])
    prediction, x_t = Derivative(), level.x(data, noise)
    assert_modern(case, "dx_t", prediction.target(level, data, noise), expected["dx_t"])
    assert_modern(
        case, "x1_from_velocity", prediction.x_0(level, inputs["velocity"], x_t), expected["x1_from_velocity"]
    )
    assert_modern(
        case, "x0_from_velocity", prediction.eps(level, inputs["velocity"], x_t), expected["x0_from_velocity"]
    )
    if case["args"]["path"] == "condot":
        assert_modern(case, "dx_t", -Flow().target(level, data, noise), expected["dx_t"])
        own = Straight().alpha_sigma(2 * (alpha.log() - sigma.log()))
        assert torch.allclose(torch.stack(own), torch.stack([alpha, sigma]), rtol=0, atol=1e-12)
