"""The whole bound, on data whose likelihood is known in closed form."""

import math

import pytest
import torch
from diffusion.losses.whole_bound import bound
from toy_gaussian import ToyGaussian, normal_nodes


def mean_bound(toy: ToyGaussian, network, nodes: int):
    """total, prior and vb of one pixel, (), () and (T,), averaged over x_0 and eps by quadrature: nothing is drawn."""
    z, weights = normal_nodes(nodes)
    x_0 = (toy.mean + toy.std * z).repeat_interleave(nodes).view(-1, 1, 1, 1)
    eps = z.repeat(nodes).view(-1, 1, 1, 1)
    weights = weights.repeat_interleave(nodes) * weights.repeat(nodes)
    terms = bound(toy.diffusion, network, x_0, lambda t: eps, clip=False)
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
