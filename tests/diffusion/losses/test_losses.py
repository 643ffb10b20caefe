"""Training objectives."""

import pytest
import torch

from diffusion import (
    VLB,
    Classification,
    Cosine,
    Epsilon,
    FixedLarge,
    GaussianDiffusion,
    Hybrid,
    Learned,
    LearnedRange,
    Simple,
    Uniform,
)
from diffusion.losses.bound import bound
from diffusion.losses.losses import Example, noised

STEPS = 12
T = torch.arange(STEPS)


def diffusion_of(loss, variance=None) -> GaussianDiffusion:
    variance = variance or LearnedRange()
    return GaussianDiffusion(steps=STEPS, schedule=Cosine(), prediction=Epsilon(), variance=variance, loss=loss)


def terms_of(diffusion, output, example: Example) -> dict:
    return diffusion.loss(diffusion, diffusion.denoiser(lambda x, time: output), example)


@pytest.fixture
def drawn():
    """x_0 in [-1, 1], eps, and what a network says of them: (T, 3, 4, 4) and (T, 6, 4, 4), one for each t."""
    chance = torch.Generator().manual_seed(0)
    x_0 = 2 * torch.rand(STEPS, 3, 4, 4, generator=chance) - 1
    return x_0, torch.randn(STEPS, 3, 4, 4, generator=chance), torch.randn(STEPS, 6, 4, 4, generator=chance)


def terms_and_gradient(loss, drawn, name):
    x_0, eps, output = drawn
    output = output.clone().requires_grad_()
    diffusion = diffusion_of(loss)
    terms = terms_of(diffusion, output, noised(diffusion.process, x_0, T, eps))
    terms[name].sum().backward()
    return terms, output.grad


def test_the_hybrid_loss_trains_the_mean_by_the_squared_error_and_the_variance_by_the_bound(drawn):
    terms, gradient = terms_and_gradient(Hybrid(vlb_weight=0.5), drawn, "loss")
    _, of_mse = terms_and_gradient(Hybrid(vlb_weight=0.5), drawn, "mse")
    _, of_vlb = terms_and_gradient(VLB(weight=0.5), drawn, "loss")
    assert torch.equal(gradient[:, :3], of_mse[:, :3])
    assert torch.equal(gradient[:, 3:], of_vlb[:, 3:])
    assert (of_mse[:, 3:] == 0).all() and (of_vlb[:, :3] != 0).any()
    assert torch.equal(terms["loss"], terms["mse"] + terms["vb"])


def test_lambda_scales_the_bound_and_nothing_else(drawn):
    one, _ = terms_and_gradient(Hybrid(vlb_weight=1.0), drawn, "loss")
    small, _ = terms_and_gradient(Hybrid(vlb_weight=0.25), drawn, "loss")
    assert torch.equal(small["mse"], one["mse"])
    assert torch.equal(small["vb"], 0.25 * one["vb"])  # a power of two, so exact


def test_the_vlb_loss_is_the_bound_on_average_over_t(drawn):
    _, _, output = drawn
    x_0, eps = (part[:1].expand(STEPS, -1, -1, -1) for part in drawn[:2])
    diffusion = diffusion_of(VLB())
    drawn_terms = terms_of(diffusion, output, noised(diffusion.process, x_0, T, eps))
    by_time = dict(zip(diffusion.process.times.tolist(), output, strict=True))
    denoise = diffusion.denoiser(lambda x, time: by_time[time.item()][None])
    whole = bound(diffusion.process, denoise, x_0[:1], lambda t: eps[:1])
    # Two orders of summation in float32, of terms up to 1e3.
    assert torch.allclose(drawn_terms["loss"].mean(), whole.vb.sum(), rtol=1e-5)


def test_the_simple_loss_is_the_squared_error_of_the_prediction(drawn):
    x_0, eps, output = drawn
    diffusion = diffusion_of(Simple(), FixedLarge())
    terms = terms_of(diffusion, output[:, :3], noised(diffusion.process, x_0, T, eps))
    assert torch.allclose(terms["loss"], ((eps - output[:, :3]) ** 2).mean((1, 2, 3)), rtol=1e-6)


def test_the_network_sees_the_noisy_image_its_time_and_the_condition(drawn):
    x_0, eps, output = drawn
    t, y = torch.tensor([0, 5, 11]), torch.tensor([2, 0, 1])
    diffusion = diffusion_of(VLB())

    def network(x_t, time, **condition):
        assert torch.equal(x_t, diffusion.process.level(t).x(x_0[:3], eps[:3]))
        assert torch.allclose(time, t * 1000 / STEPS) and time.dtype == torch.float32
        assert list(condition) == ["y"] and torch.equal(condition["y"], y)
        return output[:3]

    denoiser = diffusion.denoiser(network, takes=["y"]).given({"y": y, "low_res": x_0[:3]})
    example = noised(diffusion.process, x_0[:3], t, eps[:3], y)
    assert diffusion.loss(diffusion, denoiser, example)["loss"].shape == (3,)


@pytest.mark.parametrize("loss", [Hybrid(), VLB()])
def test_a_loss_is_computed_where_its_images_are(loss):
    # The meta device takes nothing from the CPU unasked, as a GPU.
    diffusion, x_0 = diffusion_of(loss), torch.zeros(2, 3, 4, 4, device="meta")
    t, _ = Uniform().draw(torch.zeros(2, device="meta"), diffusion.process)
    terms = terms_of(diffusion, torch.cat([x_0, x_0], dim=1), noised(diffusion.process, x_0, t, x_0))
    assert t.is_meta and all(term.is_meta for term in terms.values())


def test_a_classifier_is_told_right_from_wrong():
    diffusion, y = diffusion_of(Classification()), torch.tensor([1, 0])
    logits = torch.tensor([[0.0, 3, 1, 0, 0, 0, 0], [0.0, 6, 5, 4, 3, 2, 1]])
    x_0 = torch.zeros(2, 1, 4, 4)
    terms = terms_of(diffusion, logits, noised(diffusion.process, x_0, torch.tensor([0, 3]), x_0, y))
    assert torch.allclose(terms["loss"], -logits.log_softmax(1)[[0, 1], y])
    assert terms["accuracy"].tolist() == [1, 0] and terms["accuracy_top5"].tolist() == [1, 0]


@pytest.mark.parametrize("loss, fits", [(Simple(), [FixedLarge()]), (Hybrid(), [Learned(), LearnedRange()])])
def test_a_loss_that_cannot_train_the_variance_says_which_can(loss, fits):
    for variance in (FixedLarge(), Learned(), LearnedRange()):
        diffusion_of(VLB(), variance)
        if any(type(variance) is type(fit) for fit in fits):
            diffusion_of(loss, variance)
            continue
        with pytest.raises(ValueError, match=rf"{type(variance).__name__}; use diffusion/loss=\w+, or diffusion/var"):
            diffusion_of(loss, variance)
