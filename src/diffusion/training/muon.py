"""Muon: momentum whose matrices are made orthogonal before they change the weights (Jordan et al. 2024)."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffusion.compute.precision import set_matmul_precision
from diffusion.training.adamw import AdamW

# x -> a x + b x^3 + c x^5, one after the other: each moves the singular values, between 0.01 and 1 at first, as near to
# 1 as such a polynomial can (Amsel et al. 2025). Three bring them within 27 %, four within 1.3 %; what is smaller grows
# by up to 78 times in three.
POLYNOMIALS = (
    (8.093374, -23.620453, 17.446169),
    (3.636585, -2.721927, 0.536546),
    (2.661300, -1.977154, 0.452616),
    (1.956171, -1.337507, 0.383853),
    (1.875142, -1.250136, 0.374994),
)
RMS = 0.2  # of an update at lr 1, about that of AdamW (Liu et al. 2025, section 2.2)


def orthogonalised(stacks: Sequence[Tensor], iterations: int) -> list[Tensor]:
    """(K, R, C) each -> the same with all singular values near 1 (odd polynomials), their singular vectors unchanged.

    What multiplies x in an iteration is a polynomial of x x^T, and so is the next x x^T: all iterations are those of a
    matrix of the smaller side, done for all of one side together, and x is multiplied once.
    """
    wide = [x if x.shape[-2] <= x.shape[-1] else x.mT for x in stacks]
    grams = [x @ x.mT for x in wide]
    factors = list(grams)
    for side in {gram.shape[-1] for gram in grams}:
        places = [k for k, gram in enumerate(grams) if gram.shape[-1] == side]
        together = inverse_root(torch.cat([grams[k] for k in places]), iterations)
        for k, factor in zip(places, together.split([len(grams[k]) for k in places]), strict=True):
            factors[k] = factor
    found = [factor @ x for factor, x in zip(factors, wide, strict=True)]
    return [x if x.shape == stack.shape else x.mT for x, stack in zip(found, stacks, strict=True)]


def inverse_root(gram: Tensor, iterations: int) -> Tensor:
    """x x^T (K, S, S) -> about its inverse square root, which x becomes orthogonal by."""
    norm = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None].sqrt() + 1e-7
    gram = factor = gram / norm**2
    for iteration, (a, b, c) in enumerate(POLYNOMIALS[:iterations]):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        factor = polynomial @ factor if iteration else polynomial
        if iteration < iterations - 1:
            gram = polynomial @ gram @ polynomial
    return factor / norm


def matrix_shape(weight: Tensor) -> tuple[int, int]:
    """The outputs and the inputs of a linear layer or a convolution of this weight."""
    return weight.shape[0], weight[0].numel()


def as_matrix(weight: Tensor) -> Tensor:
    """(C_out, C_in, ...) -> (C_out, columns) in the order in which they lie in memory, which needs no copy."""
    return weight.flatten(1) if weight.is_contiguous() else weight.movedim(1, -1).flatten(1)


def as_weight(matrix: Tensor, like: Tensor) -> Tensor:
    """A matrix that `as_matrix` might have made of a weight `like` this, as a weight again."""
    if like.is_contiguous():
        return matrix.view(like.shape)
    rows, columns, *sizes = like.shape
    return matrix.view(rows, *sizes, columns).movedim(-1, 1)


class Muon(AdamW):
    """Muon for the weights of inner layers, AdamW for the others.

    Inner are those that are matrices of at least `least` rows and columns, a convolution's being (C_out, C_in * k * k):
    no biases and norms, no last layer of few channels, no tables of labels (`is_table`). Their gradients are averaged
    with `momentum` (Nesterov's), made orthogonal in so many `iterations`, and scaled to the size of AdamW's updates, so
    that `lr` and `weight_decay` mean the same for all weights.
    """

    needs_whole_weights: ClassVar[bool] = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        /,
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        iterations: int = 3,
        least: int = 16,
        betas: tuple[float, ...] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} must lie in [0, 1); set train.optimizer.momentum=0.95")
        if not 1 <= iterations <= len(POLYNOMIALS):
            raise ValueError(
                f"iterations={iterations} must lie between 1 and {len(POLYNOMIALS)}; set train.optimizer.iterations=3"
            )
        if least < 1:
            raise ValueError(f"least={least} must be at least 1; set train.optimizer.least=16")
        self.momentum, self.iterations, self.least = momentum, iterations, least
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def is_inner(self, weight: Tensor) -> bool:
        return weight.ndim > 1 and min(matrix_shape(weight)) >= self.least and not getattr(weight, "is_table", False)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:  # type: ignore[override]
        if closure is not None:
            raise ValueError("Muon takes no closure; compute the gradients, then call step()")
        set_matmul_precision("float32", self.param_groups[0]["params"][0].device)  # rounding grows in the iterations
        inner = []
        for group in self.param_groups:
            mine = [weight for weight in group["params"] if weight.grad is not None and self.is_inner(weight)]
            self.update_inner(mine, group["lr"], group["weight_decay"], spoilt=getattr(self, "found_inf", None))
            inner += mine
        kept = [weight.grad for weight in inner]
        for weight in inner:
            weight.grad = None  # AdamW leaves alone what has no gradient
        super().step()
        for weight, gradient in zip(inner, kept, strict=True):
            weight.grad = gradient

    @torch.no_grad()
    def update_inner(
        self, weights: list[nn.Parameter], lr: float, weight_decay: float, *, spoilt: Tensor | None
    ) -> None:
        """Change `weights` by their gradients, all matrices of one shape together.

        Where `spoilt` is 1, all stays as it is: on a GPU nobody waits to look whether the gradients are finite.
        """
        if not weights:
            return
        rate: Any = lr if spoilt is None else lr * (1 - spoilt)
        moments = [self.moment(weight) for weight in weights]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if spoilt is not None:
            gradients = [torch.where(spoilt > 0, m, g) for m, g in zip(moments, gradients, strict=True)]
        torch._foreach_lerp_(moments, gradients, 1 - self.momentum)
        ahead = dict(zip(weights, torch._foreach_lerp(gradients, moments, self.momentum), strict=True))
        groups = [list(alike) for _, alike in groupby(sorted(weights, key=matrix_shape), key=matrix_shape)]
        stacks = [torch.stack([as_matrix(ahead[weight]) for weight in alike]) for alike in groups]
        updates = []
        for alike, update in zip(groups, orthogonalised(stacks, self.iterations), strict=True):
            update *= -rate * RMS * max(update.shape[1:]) ** 0.5
            updates += [as_weight(*each) for each in zip(update, alike, strict=True)]
        changed: list[Tensor] = [weight for alike in groups for weight in alike]
        if weight_decay:
            torch._foreach_mul_(changed, 1 - rate * weight_decay)
        torch._foreach_add_(changed, updates)

    def moment(self, weight: Tensor) -> Tensor:
        """The average of the gradients of a weight; zeros at first."""
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        return state["momentum"]
