"""Muon: orthogonal updates of inner matrices, AdamW for the rest."""

from functools import partial

import pytest
import torch
from tiny_training import tiny_run, tiny_trainer
from torch import nn

from diffusion.training.adamw import AdamW
from diffusion.training.loading import load_moments
from diffusion.training.muon import POLYNOMIALS, Muon, orthogonalised


def layers():
    """An inner convolution, a bias, and a last layer of two channels."""
    torch.manual_seed(0)
    inner, last = nn.Conv2d(16, 24, 3), nn.Conv2d(24, 2, 3)
    return [inner.weight, inner.bias, last.weight]


def with_gradients(weights, seed=1):
    chance = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=chance)
    return weights


@pytest.mark.parametrize(("iterations", "within"), [(3, 0.275), (4, 0.0135), (5, 1e-3)])
@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 16, 16)])
def test_the_singular_values_come_near_one_and_the_singular_vectors_stay(shape, iterations, within):
    torch.manual_seed(0)
    k, rows, columns = shape
    left = torch.linalg.qr(torch.randn(k, rows, min(rows, columns))).Q
    right = torch.linalg.qr(torch.randn(k, columns, min(rows, columns))).Q
    values = torch.logspace(-1.5, 0, min(rows, columns))
    found = left.mT @ orthogonalised([left * values @ right.mT], iterations)[0] @ right
    diagonal = found.diagonal(dim1=-2, dim2=-1)
    assert (found - torch.diag_embed(diagonal)).abs().max() < 1e-3
    assert diagonal.min() > 1 - within and diagonal.max() < 1 + within


def test_no_polynomial_of_its_form_comes_nearer_to_one():
    # The error of the best one is equally large, with signs in turn, at one place more than it has coefficients.
    x, low, high = torch.linspace(0.01, 1, 100_001, dtype=torch.float64), 0.01, 1.0
    for a, b, c in POLYNOMIALS[:4]:
        at = low + (x - 0.01) / 0.99 * (high - low)
        error = 1 - (a * at + b * at**3 + c * at**5)
        turns = [0, *(torch.nonzero(error.diff().sign().diff())[:, 0] + 1).tolist(), len(at) - 1]
        extremes = error[turns] / error.abs().max()
        torch.testing.assert_close(extremes, torch.tensor([1, -1, 1, -1]).to(extremes), rtol=0, atol=0.02)
        low, high = (1 - error.abs().max()).item(), (1 + error.abs().max()).item()


def test_an_inner_weight_moves_by_an_orthogonal_matrix_of_the_size_of_adamws_updates():
    weights = with_gradients(layers())
    before, gradient = weights[0].detach().clone(), weights[0].grad.flatten(1)
    Muon(weights, lr=0.01).step()
    moved = (before - weights[0]).flatten(1) / 0.01
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    cosine = nn.functional.cosine_similarity(moved.flatten(), (u @ v).flatten(), dim=0)
    assert cosine > 0.95
    assert moved.detach().square().mean().sqrt().item() == pytest.approx(0.2, rel=0.3)


def test_all_other_weights_move_as_adamw_moves_them():
    ours, theirs = layers(), layers()
    settings = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}
    one, other = Muon(ours, **settings), AdamW(theirs, **settings)
    for _ in range(3):
        with_gradients(ours), with_gradients(theirs)
        one.step(), other.step()
    assert torch.equal(ours[1], theirs[1]) and torch.equal(ours[2], theirs[2])
    assert not torch.equal(ours[0], theirs[0])
    assert ours[0].grad is not None


def test_a_table_of_labels_is_no_matrix(tmp_path):
    run = tiny_run(tmp_path)
    run.model.beside = nn.ModuleList([nn.Embedding(20, 16), nn.Linear(16, 16)])
    optimizer = tiny_trainer(optimizer=partial(Muon, lr=0.01)).learner(run).optimizer
    inner = {name for name, weight in run.model.named_parameters() if optimizer.is_inner(weight)}
    assert "beside.1.weight" in inner and "beside.0.weight" not in inner


def test_weight_decay_shrinks_inner_weights_apart_from_the_update():
    plain, decayed = layers(), layers()
    before = plain[0].detach().clone()
    Muon(with_gradients(plain), lr=0.01).step()
    Muon(with_gradients(decayed), lr=0.01, weight_decay=0.5).step()
    assert torch.allclose(plain[0] - decayed[0], 0.01 * 0.5 * before, atol=1e-7)


def test_an_update_that_is_marked_as_not_finite_leaves_weight_and_momentum():
    weights = with_gradients(layers())
    optimizer = Muon(weights, lr=0.01, weight_decay=0.1)
    optimizer.step()
    before, momentum = weights[0].detach().clone(), optimizer.moment(weights[0]).clone()
    weights[0].grad.fill_(float("nan"))
    optimizer.update_inner([weights[0]], 0.01, 0.1, spoilt=torch.tensor(1.0))
    assert torch.equal(weights[0], before) and torch.equal(optimizer.moment(weights[0]), momentum)


def test_what_it_kept_is_read_back_and_goes_on_equal():
    ours = layers()
    optimizer = Muon(with_gradients(ours), lr=0.01)
    optimizer.step()
    theirs = layers()
    others = layers()
    again, anew = Muon(theirs, lr=0.01), Muon(others, lr=0.01)
    load_moments(again, optimizer.state_dict()["state"], lambda number: True)
    for weights in (theirs, others):
        for weight, saved in zip(weights, ours, strict=True):
            weight.data.copy_(saved.data)
    for weights, one in ((ours, optimizer), (theirs, again), (others, anew)):
        with_gradients(weights, seed=2)
        one.step()
    assert all(map(torch.equal, ours, theirs))
    assert all((weight - other).abs().max() > 1e-4 for weight, other in zip(ours, others, strict=True))


def test_what_is_out_of_range_is_refused_in_words():
    for settings, words in (
        ({"momentum": 1.0}, "set train.optimizer.momentum=0.95"),
        ({"iterations": 0}, "set train.optimizer.iterations=3"),
        ({"iterations": 6}, "set train.optimizer.iterations=3"),
        ({"least": 0}, "set train.optimizer.least=16"),
        ({"lr": -1.0}, "set train.optimizer.lr=0.0001"),
    ):
        with pytest.raises(ValueError, match=words):
            Muon(layers(), **settings)


def test_weights_that_are_cut_are_refused_before_training():
    with pytest.raises(ValueError, match=r"^train\.parallel=fsdp [^\n]* Muon needs whole; set train/optimizer=adamw"):
        tiny_trainer(parallel="fsdp", optimizer=partial(Muon, lr=0.01))


def test_stacks_of_one_side_are_made_orthogonal_together_as_each_alone():
    stacks = [torch.randn(shape) for shape in ((2, 16, 40), (1, 24, 24), (3, 30, 16), (1, 16, 20))]
    for found, stack in zip(orthogonalised(stacks, 5), stacks, strict=True):
        torch.testing.assert_close(found, orthogonalised([stack], 5)[0])


def test_a_matrix_of_low_rank_stays_one():
    torch.manual_seed(0)
    low = torch.randn(1, 64, 3) @ torch.randn(1, 3, 200)
    values = torch.linalg.svdvals(orthogonalised([low], 5)[0])[0]
    assert values[:3].min() > 0.5 and values[3:].max() < 0.05


def test_both_layouts_of_memory_take_the_same_step():
    plain, last = layers(), layers()
    with_gradients(plain)
    for weight, other in zip(last, plain, strict=True):
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        weight.grad = torch.empty_like(weight).copy_(other.grad)
    Muon(plain, lr=0.01).step(), Muon(last, lr=0.01).step()
    assert not last[0].is_contiguous()
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(plain, last, strict=True))


def test_a_closure_is_refused_since_it_would_come_too_late():
    with pytest.raises(ValueError, match="takes no closure"):
        Muon(layers(), lr=0.01).step(lambda: 0.0)
