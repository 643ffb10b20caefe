"""The three likelihoods against densities in closed form, and against each other."""

import math
from types import SimpleNamespace

import pytest
import torch
from modern_cases import exact_x_0, truncated_entropy
from tiny_training import tiny_diffusion
from toy_gaussian import Called, ToyGaussian

from diffusion import (
    Chain,
    ContinuousDiffusion,
    ContinuousLikelihood,
    Continuum,
    Cosine,
    CosineLogSNR,
    Density,
    EvenLogSNR,
    Exploding,
    Guidance,
    KarrasLogSNR,
    Likelihood,
    Linear,
    Simple,
    Straight,
    StraightTime,
    Synthetic,
    Trained,
    VariancePreserving,
    Velocity,
    ZeroTerminal,
)
from diffusion.compute.randomness import generator
from diffusion.denoiser.denoiser import Denoised
from diffusion.evaluation.subject import Subject
from diffusion.losses.bound import bound
from diffusion.losses.continuous_bound import GRID, continuous_bound, decoder_log_probability, ends
from diffusion.losses.density import (
    log_density,
    truncated_noise,
    truncated_normal,
    truncation,
    uniform_noise,
)
from diffusion.process.level import as_factor

PROCESSES = {
    "linear chain": Chain(Linear().betas(1000)),
    "cosine chain": Chain(Cosine().betas(4000)),
    "zero terminal chain": Chain(ZeroTerminal(of=Linear()).betas(1000)),
    "variance preserving": Continuum(CosineLogSNR(), VariancePreserving()),
    "straight": Continuum(StraightTime(), Straight()),
    "EDM": Continuum(EvenLogSNR(top=12.43, bottom=-8.76), VariancePreserving(data_std=0.5)),
    "exploding": Continuum(KarrasLogSNR(top=12.43, bottom=-8.76), Exploding(data_std=0.5)),
}
everywhere = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
MIXTURE = {
    "w": torch.tensor([0.3, 0.7], dtype=torch.float64),
    "m": torch.tensor([[-0.5, 0.2, 0.1], [0.4, 0.6, -0.3]], dtype=torch.float64).view(2, 3, 1, 1),
    "s": torch.tensor(0.3, dtype=torch.float64),
}
X = torch.tensor([[0.1, 0.3, 0.0], [-0.6, 0.1, 0.2], [0.5, 0.5, -0.4]], dtype=torch.float64).view(3, 3, 1, 1)
BASIS = math.sqrt(3) * torch.eye(3, dtype=torch.float64).view(3, 1, 3, 1, 1).expand(3, 3, 3, 1, 1)


def mixture_log_p(x, level):
    """Of x_t at a level."""
    alpha, spread = level.alpha.item(), (level.alpha**2 * MIXTURE["s"] ** 2 + level.sigma**2).item()
    distance = ((x[:, None] - alpha * MIXTURE["m"]) ** 2).flatten(2).sum(2) / (2 * spread)
    return (MIXTURE["w"].log() - distance).logsumexp(1) - 1.5 * math.log(2 * math.pi * spread)


def mixture(x, level):
    return Denoised(exact_x_0(MIXTURE)(x, level), None)


@everywhere
def test_the_density_of_a_mixture_is_its_own(process):
    clean, noisy = ends(process)
    x = clean.x(X, torch.zeros_like(X))
    found = log_density(process, mixture, x, BASIS, clean=clean, noisy=noisy, tolerance=1e-7)
    # What is left of the images at the noisiest level, 1e-4 of them on some of these, the prior does not know.
    assert torch.allclose(found, mixture_log_p(x, clean), rtol=0, atol=1e-2)


def test_the_fixed_solver_is_of_order_4_and_the_adaptive_one_follows_its_tolerance():
    process = PROCESSES["variance preserving"]
    clean, noisy = (process.level(torch.tensor([log_snr]).double()) for log_snr in (4.0, -4.0))
    x = clean.x(X, torch.zeros_like(X))

    def solved(**options):
        return log_density(process, mixture, x, BASIS, clean=clean, noisy=noisy, **options)

    true = solved(tolerance=1e-12)
    coarse, fine = ((solved(steps=steps) - true).abs().max().item() for steps in (10, 20))
    assert math.log2(coarse / fine) == pytest.approx(4, abs=0.4)
    errors = [(solved(tolerance=tolerance) - true).abs().max().item() for tolerance in (1e-3, 1e-5, 1e-7)]
    assert all(error < 10 * tolerance for error, tolerance in zip(errors, (1e-3, 1e-5, 1e-7), strict=True))


def test_random_signs_give_the_trace_in_the_mean():
    # Over all eight of three signs, the mean is the trace itself.
    process = PROCESSES["straight"]
    clean, noisy = ends(process)
    x = clean.x(X, torch.zeros_like(X))
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    every = signs.view(8, 1, 3, 1, 1).expand(8, 3, 3, 1, 1)
    options = {"clean": clean, "noisy": noisy, "steps": 40}
    exact, mean = (log_density(process, mixture, x, probes, **options) for probes in (BASIS, every))
    assert torch.allclose(exact, mean, rtol=1e-9, atol=0)
    assert not torch.allclose(exact, log_density(process, mixture, x, every[:1], **options), rtol=0, atol=1e-2)


@everywhere
def test_the_continuous_bound_of_a_normal_distribution_in_closed_form(process):
    # Pixels N(0.1, 0.4^2): with x_0 + r noise for z, whose density is that of x_0 within 1e-5, the bound is
    # E log q(z | x_0) - log p(x_0), and what the decoder leaves open.
    toy = ToyGaussian(mean=0.1, std=0.4, steps=10)
    images = 0.1 + 0.4 * torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_0 = ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    chance = torch.Generator().manual_seed(1)
    noise = lambda k: torch.randn(x_0.shape, generator=chance, dtype=torch.float64)  # noqa: E731
    found = continuous_bound(process, toy.denoise, x_0, noise, torch.rand(6, generator=chance), levels=2000)
    clean, _ = ends(process)
    true = 0.5 * ((x_0 - 0.1) / 0.4) ** 2 + 0.5 * math.log(2 * math.pi * 0.16)
    entropy = 0.5 * math.log(2 * math.pi * math.e) + (clean.sigma / clean.alpha).log().item()
    bits = (true.flatten(1).mean(1) - entropy) / math.log(2) + found.decoder
    assert torch.allclose(found.total, found.prior + found.decoder + found.diffusion, rtol=1e-12, atol=0)
    # Two thousand levels leave errors of 0.1 an image.
    assert (found.total - bits).mean().item() == pytest.approx(0.0, abs=0.1)
    assert (found.total - bits).abs().max() < 0.2


def test_the_three_likelihoods_agree():
    toy = ToyGaussian(mean=0.0, std=0.4, steps=1000)
    images = 0.4 * torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_0 = ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    chance = torch.Generator().manual_seed(1)
    noise = lambda k: torch.randn(x_0.shape, generator=chance, dtype=torch.float64)  # noqa: E731
    chain = bound(toy.process, toy.denoise, x_0, noise).total.mean().item()
    process = PROCESSES["variance preserving"]
    start = torch.rand(16, generator=chance)
    continuous = continuous_bound(process, toy.denoise, x_0, noise, start, levels=400).total.mean().item()
    clean, noisy = ends(process)
    limit = truncation(clean, 1 / 255)
    shares = torch.rand(x_0.shape, generator=chance, dtype=torch.float64)
    z, log_q = truncated_normal(x_0, truncated_noise(shares, limit), clean, limit)
    probes = torch.randint(2, (1, *x_0.shape), generator=chance).double() * 2 - 1
    log_p = log_density(process, toy.denoise, z, probes, clean=clean, noisy=noisy, tolerance=1e-6)
    density = -((log_p - log_q) / (64 * math.log(2))).mean().item()
    assert continuous == pytest.approx(density, abs=0.03)
    # Where the noise of the cleanest level is narrower than a value, both take more than the chain, whose L_0 sums over
    # its width: by log2 of the width over the noise's, sqrt(2 pi e) sigma.
    width = math.log2((2 / 255) / (math.sqrt(2 * math.pi * math.e) * (clean.sigma / clean.alpha).item()))
    assert chain == pytest.approx(density - width, abs=0.1)


def test_the_entropy_of_truncated_noise():
    clean, limit = PROCESSES["variance preserving"].level(torch.tensor([11.0]).double()), 1.3
    nodes = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    noise = truncated_noise(nodes, limit)
    assert noise.abs().max() <= limit and noise.mean().item() == pytest.approx(0, abs=1e-9)
    _, log_q = truncated_normal(torch.zeros(200_000, 1, 1, 1).double(), noise.view(-1, 1, 1, 1), clean, limit)
    assert -log_q.mean().item() == pytest.approx(truncated_entropy(1, clean, limit), abs=1e-6)


def test_uniform_noise_fills_the_width_of_a_value():
    clean = PROCESSES["variance preserving"].level(torch.tensor([11.0]).double())
    ends_of_it = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    z, log_q = uniform_noise(torch.zeros(2, 1, 1, 1).double(), ends_of_it, clean, 1 / 255)
    assert torch.allclose(z.flatten(), clean.alpha * torch.tensor([-1, 1]).double() / 255, rtol=1e-12, atol=0)
    assert log_q.exp().tolist() == pytest.approx([1 / (z[1] - z[0]).item()] * 2)


def test_the_draws_of_a_density_are_weighed_by_their_own_probability():
    # Constant data, known exactly: p(z) is that of the noise itself, so that each draw's p / q is 1 where noise is not
    # truncated by much, and K of them have the mean of K single ones, as logarithms of means.
    diffusion = ContinuousDiffusion(
        schedule=CosineLogSNR(), path=VariancePreserving(), prediction=Velocity(), loss=Simple()
    )

    def network(x, time):
        level = diffusion.process.level(diffusion.process.t(time.double() / 1000))
        x_0 = normal_data_x_0(x.double(), level)
        return Velocity().target(level, x_0, level.eps(x.double(), x_0))

    images = Synthetic(image_size=4, channels=1, num_classes=None, num_images=6)
    model = Trained(
        network=Called(network), diffusion=diffusion, shape=images.shape, classes=None, config={}, step=1,
        weights="raw", device=torch.device("cpu"), conditions={},
    )  # fmt: skip
    subject = Subject(model, images, {}, "toy", True, lambda: images, "toy", 6, 0)
    one, four = (Density(draws=k, tolerance=1e-4).bits(subject, range(6)) for k in (1, 4))
    single = []  # each of the four draws by itself, put together here as the definition says
    x_0 = subject.examples(range(6)).x_0
    clean, _ = ends(diffusion.process)
    for draw in range(4):
        chances = [generator(0, "density", n, draw) for n in range(6)]
        z, log_q = Density().dequantised(x_0, chances, clean)
        exact = normal_data_log_p(z.double(), clean)
        single.append(exact - log_q)
    weights = torch.stack(single)
    size = x_0[0].numel() * math.log(2)
    assert torch.allclose(one, -weights[0] / size, rtol=0, atol=0.05)
    assert torch.allclose(four, -(weights.exp().mean(0)).log() / size, rtol=0, atol=0.05)
    assert four.mean() <= one.mean() + 0.05


def normal_data_x_0(x, level):
    """Of N(0.1, 0.4^2)."""
    alpha, spread = as_factor(level.alpha, x), as_factor(level.alpha**2 * 0.16 + level.sigma**2, x)
    return 0.1 + alpha * 0.16 / spread * (x - alpha * 0.1)


def normal_data_log_p(x, level):
    alpha, spread = level.alpha.item(), (level.alpha**2 * 0.16 + level.sigma**2).item()
    return (-0.5 * (x - alpha * 0.1) ** 2 / spread - 0.5 * math.log(2 * math.pi * spread)).flatten(1).sum(1)


def test_the_decoder_shares_out_a_probability():
    z = torch.tensor([-1.3, 0.001, 0.7], dtype=torch.float64).view(3, 1, 1, 1)
    ratio = torch.tensor([0.01], dtype=torch.float64)
    total = sum(decoder_log_probability(torch.full_like(z, value), z, ratio).exp() for value in GRID.tolist())
    assert torch.allclose(total, torch.ones_like(z), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dequantisation": "none"}, "evaluation.dequantisation=truncated_normal"),
        ({"draws": 0}, "evaluation.draws=1"),
        ({"probes": 0}, "evaluation.probes=1"), ({"steps": 0}, "evaluation.steps=1"),
        ({"tolerance": 0.0}, "evaluation.tolerance=1e-3"), ({"num_images": 1}, "evaluation.num_images=2"),
    ],
)  # fmt: skip
def test_a_density_that_cannot_be_measured_is_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        Density(**settings)
    assert Likelihood().name == "likelihood"


@pytest.mark.parametrize("evaluation", [Likelihood(), ContinuousLikelihood(), Density()], ids=lambda e: e.name)
def test_a_guided_model_has_no_bound_and_no_density(evaluation):
    model = SimpleNamespace(guidance=Guidance(scale=2.0), diffusion=tiny_diffusion())
    with pytest.raises(ValueError, match="leave guidance out"):
        evaluation.check(SimpleNamespace(model=model, images=range(4), title="images"))
