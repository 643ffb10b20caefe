"""The variational bound: its Gaussian terms, and the whole of it on data whose likelihood is known in closed form."""

import math

import pytest
import torch
from toy_gaussian import ToyGaussian, normal_nodes

from diffusion.losses.bound import bound, discretized_log_probability, normal_kl

LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1


@pytest.mark.parametrize("log_std", [-7.0, -4.0, -2.0, 0.0, 2.0])
@pytest.mark.parametrize("mean", [-1.5, -1.0, -0.3, 0.004, 1.0])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 2e-5)])
def test_the_256_levels_share_out_the_whole_probability(mean, log_std, dtype, tolerance):
    # The floor of 1e-12 adds at most 256e-12; float32 rounds the arguments, up to 1e2 here, at 1e-7 of their size.
    x = LEVELS.to(dtype)
    log_p = discretized_log_probability(x, torch.full_like(x, mean), torch.full_like(x, log_std))
    assert log_p.double().exp().sum().item() == pytest.approx(1, abs=tolerance)


def test_a_level_has_the_probability_of_its_interval():
    # The tanh formula stands in for the normal distribution function, and its slope for the density, to 2e-3.
    x, normal = LEVELS[1:-1], torch.distributions.Normal(0.2, math.exp(-2.0))
    wanted = normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)
    got = discretized_log_probability(x, torch.full_like(x, 0.2), torch.full_like(x, -2.0)).exp()
    assert (got - wanted).abs().max() < 2e-3 * wanted.max()


def test_far_levels_keep_their_slope_so_that_training_can_find_back():
    mean = torch.tensor([0.5], requires_grad=True)
    log_p = discretized_log_probability(torch.tensor([0.0]), mean, torch.tensor([-2.0]))
    log_p.sum().backward()
    assert torch.isfinite(log_p).all() and mean.grad.item() < -1


def test_kl_agrees_with_torch():
    mean_1, log_variance_1, mean_2, log_variance_2 = torch.randn(4, 100, generator=torch.Generator().manual_seed(0))
    p = torch.distributions.Normal(mean_1, (log_variance_1 / 2).exp())
    q = torch.distributions.Normal(mean_2, (log_variance_2 / 2).exp())
    wanted = torch.distributions.kl_divergence(p, q)
    assert torch.allclose(normal_kl(mean_1, log_variance_1, mean_2, log_variance_2), wanted, rtol=1e-4, atol=1e-6)


def mean_bound(toy: ToyGaussian, network, nodes: int):
    """total, prior and vb of one pixel, (), () and (T,), averaged over x_0 and eps by quadrature: nothing is drawn."""
    z, weights = normal_nodes(nodes)
    x_0 = (toy.mean + toy.std * z).repeat_interleave(nodes).view(-1, 1, 1, 1)
    eps = z.repeat(nodes).view(-1, 1, 1, 1)
    weights = weights.repeat_interleave(nodes) * weights.repeat(nodes)
    terms = bound(toy.process, toy.diffusion.denoiser(network), x_0, lambda t: eps)
    assert torch.equal(terms.total, terms.vb.sum(1) + terms.prior)
    return weights @ terms.total.double(), weights @ terms.prior.double(), weights @ terms.vb.double()


@pytest.mark.parametrize("std, steps", [(0.2, 10), (0.2, 40), (0.1, 40)])
def test_the_bound_of_a_gaussian_is_its_entropy(std, steps):
    # With the exact reverse steps the bound is tight: -log p(x_0) on average, the entropy of N(mean, std^2) in levels
    # of 2/255.
    toy = ToyGaussian(mean=0.1, std=std, steps=steps)
    total, prior, _ = mean_bound(toy, toy.network, nodes=40)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * std**2) - math.log2(2 / 255)
    assert total.item() == pytest.approx(entropy, abs=1e-4)
    assert 0 <= prior.item() < 1e-5  # the cosine schedule forgets the image


@pytest.mark.parametrize("spoilt", [lambda output: 1.05 * output, lambda output: output + 0.05])
def test_any_other_network_has_a_larger_bound_at_every_step(spoilt):
    toy = ToyGaussian(mean=0.1, std=0.2, steps=10)
    _, _, right = mean_bound(toy, toy.network, nodes=20)
    _, _, wrong = mean_bound(toy, lambda x, time: spoilt(toy.network(x, time)), nodes=20)
    assert (wrong > right).all()


def test_the_bound_is_computed_where_its_images_are():
    # The meta device takes nothing from the CPU unasked, as a GPU.
    toy, x_0 = ToyGaussian(mean=0.1, std=0.2, steps=3), torch.zeros(2, 1, 4, 4, device="meta")
    assert all(table.is_meta for table in bound(toy.process, toy.denoise, x_0, lambda t: x_0))
