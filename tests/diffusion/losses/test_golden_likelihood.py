"""Terms of continuous bounds and dequantised densities, of VDM and i-DODE, and of flows with closed forms."""

import math

import pytest
import torch
from modern_cases import assert_modern, exact_x_0, modern, tensors, truncated_entropy

from diffusion import Continuum, EvenLogSNR, Straight, StraightTime, VariancePreserving, Velocity
from diffusion.denoiser.denoiser import Denoised
from diffusion.losses.continuous_bound import decoder_log_probability, error_rate, prior_nats
from diffusion.losses.density import log_density, truncated_normal, truncation
from diffusion.losses.log_snr_laws import LogSigma
from diffusion.process.level import as_factor

LEFT_OUT = {
    "an importance sampling of one program's": ["idode_loss_SP_velocity_importance"],
    "a package's integrators": ["flow_likelihood_euler", "flow_likelihood_midpoint"],
}
SKIPPED = [case for cases in LEFT_OUT.values() for case in cases]
# These programs put the values of a pixel at 2 (v + 1/2) / 256 - 1; this one at v / 127.5 - 1.
GRID = 2 * (torch.arange(256, dtype=torch.float64) + 0.5) / 256 - 1


def encoded(images):
    return 2 * (images.double() + 0.5) / 256 - 1


def process_of(args):
    path = VariancePreserving() if args["schedule"] == "VP" else Straight()
    return Continuum(EvenLogSNR(top=-args["gamma_min"], bottom=-args["gamma_max"]), path)


def level_at(process, gamma):
    return process.level(-torch.as_tensor(gamma, dtype=torch.float64).reshape(-1))


@pytest.mark.parametrize("case, inputs, expected", modern(27, "vdm_decoder"))
def test_decoder(case, inputs, expected):
    inputs = tensors(inputs)
    x_0 = encoded(inputs["images"])
    assert_modern(case, "encoded", x_0, expected["encoded"])
    ratio = torch.tensor([case["args"]["gamma_min"] / 2], dtype=torch.float64).exp()
    got = decoder_log_probability(x_0, inputs["z"], ratio, GRID)
    assert_modern(case, "log_prob", got, expected["log_prob"])
    assert_modern(case, "total", got.flatten(1).sum(1), expected["total"])


@pytest.mark.parametrize("case, inputs, expected", modern(27, "vdm_elbo", "idode_loss", without=SKIPPED))
def test_terms_of_the_bound(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    process, x_0 = process_of(args), encoded(inputs["images"])
    clean, noisy = (level_at(process, args[name]) for name in ("gamma_min", "gamma_max"))
    assert_modern(case, "var_0", (clean.sigma**2)[0], expected["var_0"])
    assert_modern(case, "var_1", (noisy.sigma**2)[0], expected["var_1"])
    prior = prior_nats(noisy, x_0, torch.ones(1, dtype=torch.float64)).flatten(1).sum(1)
    assert_modern(case, "loss_klz", prior, expected["loss_klz"])
    ratio = clean.sigma / clean.alpha
    decoded = decoder_log_probability(x_0, x_0 + as_factor(ratio, x_0) * inputs["eps0"], ratio, GRID)
    assert_modern(case, "loss_recon", -decoded.flatten(1).sum(1), expected["loss_recon"])

    t = (args["t0"] + torch.arange(len(x_0), dtype=torch.float64) / len(x_0)) % 1
    low, high = args["gamma_min"], args["gamma_max"]
    exact = exact_x_0({"m": inputs["m"], "s": inputs["s"]})
    if args.get("importance"):
        law = LogSigma(top=-low, bottom=-high)
        level = process.level(law.log_snr(t))
        x_t = level.x(x_0, inputs["eps"])
        velocities = (Velocity().target(level, x, level.eps(x_t, x)) for x in (x_0, exact(x_t, level)))
        error = sum(sign * v for sign, v in zip((1, -1), velocities, strict=True)).flatten(1).square().sum(1)
        got = (noisy.sigma / clean.sigma).log() * error  # the plain error of v: no weight curve
    elif args.get("T"):
        steps = (t * args["T"]).ceil() / args["T"]
        level, before = (level_at(process, low + s * (high - low)) for s in (steps, steps - 1 / args["T"]))
        x_t = level.x(x_0, inputs["eps"])
        got = args["T"] * step_rate(level, before, x_0, exact(x_t, level))
    else:
        level = level_at(process, low + t * (high - low))
        x_t = level.x(x_0, inputs["eps"])
        got = (high - low) * error_rate(level, x_0, exact(x_t, level))
    assert_modern(case, "loss_diff", got, expected["loss_diff"])


def step_rate(here, there, x_0, expected):
    """1/2 (SNR_s - SNR_t) |x_0 - x_0_hat|^2, in nats (N,): a term of the bound in finitely many steps, from t to s."""
    gain = (there.alpha / there.sigma) ** 2 - (here.alpha / here.sigma) ** 2
    return 0.5 * gain.to(x_0) * (x_0 - expected).flatten(1).square().sum(1)


def exact_probes(like):
    """Basis vectors, whose mean of z^T J z is the trace itself."""
    count = like[0].numel()
    return math.sqrt(count) * torch.eye(count).to(like).view(count, 1, *like.shape[1:]).expand(-1, *like.shape)


@pytest.mark.parametrize("case, inputs, expected", modern(27, "idode_nll"))
def test_dequantised_densities(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    draws, process, z = len(inputs["z"]), process_of(args), inputs["z"].flatten(0, 1)
    x_0 = encoded(inputs["images"]).repeat(draws, 1, 1, 1)  # all draws at once
    clean, noisy = (level_at(process, args[name]) for name in ("gamma_min", "gamma_max"))
    exact, count = exact_x_0({"m": inputs["m"], "s": inputs["s"]}), x_0[0].numel()
    truncated, limit = args["dequantization"] == "tn", truncation(clean, 1 / 256)
    draw = truncated_normal(x_0, z, clean, limit) if truncated else None
    z_0 = clean.x(x_0, z) if draw is None else draw.z
    denoise = lambda x, level: Denoised(exact(x, level), None)  # noqa: E731
    log_p = log_density(
        process, denoise, z_0, exact_probes(x_0), clean=clean, noisy=noisy, prior_std=noisy.sigma, tolerance=3e-9
    )
    if draw is None:
        ratio = clean.sigma / clean.alpha
        log_p = log_p + decoder_log_probability(x_0, z_0 / clean.alpha, ratio, GRID).flatten(1).sum(1)
    log_q = torch.zeros_like(log_p) if draw is None else draw.log_q
    log_p, log_q = log_p.view(draws, -1), log_q.view(draws, -1)
    if args["K"] == 1:
        normal = count * (0.5 * math.log(2 * math.pi * math.e) + clean.sigma.log().item())
        nats = log_p.mean(0) + (truncated_entropy(count, clean, limit) if truncated else normal)
    else:
        nats = (log_p - log_q).logsumexp(0) - math.log(args["K"])
    bits = -nats / (count * math.log(2))
    # An adaptive solver, where the case has the flow in closed form.
    assert torch.allclose(bits, torch.from_numpy(expected["bits_per_dim"]), rtol=1e-8, atol=0)


@pytest.mark.parametrize("case, inputs, expected", modern(22, "flow_likelihood", without=SKIPPED))
def test_the_density_of_a_flow(case, inputs, expected):
    inputs = tensors(inputs)
    x, m, s = (inputs[name] for name in ("x1", "m", "s"))
    process = Continuum(StraightTime(top=60.0, bottom=-60.0), Straight())
    exact = exact_x_0({"m": m, "s": s})
    clean, noisy = (process.level(torch.tensor([log_snr], dtype=torch.float64)) for log_snr in (60.0, -60.0))
    denoise = lambda x, level: Denoised(exact(x, level), None)  # noqa: E731
    found = log_density(process, denoise, x, exact_probes(x), clean=clean, noisy=noisy, tolerance=1e-10)
    assert_modern(case, "log_likelihood", found, expected["log_likelihood"])
    assert_modern(case, "closed_form", found, expected["closed_form"])
