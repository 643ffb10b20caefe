"""The forward process against computations that do not share its formulas. All in float64, so 1e-9 is rounding."""

import pytest
import torch

from diffusion import Cosine, ForwardProcess, Linear, kept_steps


@pytest.fixture(params=[Linear(), Cosine()], ids=["linear", "cosine"])
def process(request):
    return ForwardProcess(request.param.betas(200))


def test_posterior_agrees_with_bayes(process):
    # q(x_{t-1} | x_t, x_0) is q(x_t | x_{t-1}) q(x_{t-1} | x_0), normalised: precisions add, means weigh by them.
    t = torch.arange(1, 200)
    x_0, x_t = torch.randn(2, 199, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    beta = process.beta.values[1:, None]
    before = (1 - process.beta.values).cumprod(0)[:-1, None]
    from_x_t, from_x_0 = (1 - beta) / beta, 1 / (1 - before)
    mean = (x_t / (1 - beta).sqrt() * from_x_t + before.sqrt() * x_0 * from_x_0) / (from_x_t + from_x_0)
    assert torch.allclose(process.posterior_mean(x_0, x_t, t), mean, rtol=1e-9, atol=1e-12)
    assert torch.allclose(process.posterior_variance.at(t, x_t), 1 / (from_x_t + from_x_0), rtol=1e-9, atol=0)


def test_one_jump_is_as_many_steps(process):
    signal, variance = 1.0, 0.0
    for t, beta in enumerate(process.beta.values.tolist()):
        signal, variance = signal * (1 - beta) ** 0.5, (1 - beta) * variance + beta
        assert process.signal.values[t].item() == pytest.approx(signal, rel=1e-9)
        assert process.noise.values[t].item() ** 2 == pytest.approx(variance, rel=1e-9)


def test_noise_and_image_determine_each_other(process):
    x_0, eps = torch.randn(2, 200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.arange(200)
    x_t = process.sample(x_0, t, eps)
    # Noise is 1e4 times the signal at the end of the cosine schedule, which costs x_0 so many digits.
    assert torch.allclose(process.x_0_from_eps(eps, x_t, t), x_0, rtol=0, atol=1e-9)
    assert torch.allclose(process.eps_from_x_0(x_0, x_t, t), eps, rtol=0, atol=1e-9)


def test_the_first_step_goes_back_to_the_image_itself(process):
    x_0, x_t = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(4, dtype=torch.int64)
    assert torch.allclose(process.posterior_mean(x_0, x_t, zero), x_0, rtol=1e-6, atol=0)
    assert (process.posterior_variance.at(zero, x_t) == 0).all()


def test_a_respaced_process_has_the_marginals_and_times_of_the_whole(process):
    kept = kept_steps(200, "7,3")
    respaced = process.respace(kept)
    assert torch.allclose(respaced.alpha_bar.values, process.alpha_bar.values[kept], rtol=1e-9, atol=0)
    assert respaced.time(torch.arange(len(kept))).tolist() == kept
    twice = respaced.respace([0, 4, 9])
    assert twice.time(torch.arange(3)).tolist() == [kept[0], kept[4], kept[9]]


def test_a_table_is_read_in_the_precision_of_the_images():
    table = ForwardProcess(Linear().betas(20)).beta
    t = torch.tensor([3])
    for dtype, read in ((torch.float64, torch.float64), (torch.float32, torch.float32), (torch.float16, torch.float32)):
        assert table.at(t, torch.zeros(1, 3, 4, 4, dtype=dtype)).dtype == read
    assert table.at(t, torch.zeros(1, 3, 4, 4)).shape == (1, 1, 1, 1)
