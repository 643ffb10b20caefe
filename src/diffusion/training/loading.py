"""Weights and optimizer state from a checkpoint, each held against what this run itself keeps in its place."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.training.parallel import laid_out_like


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a module its weights, as they are sharded and ordered in memory; an error if they are of another."""
    mine = model.state_dict()
    model.load_state_dict({n: laid_out_like(w, mine[n], n) if n in mine else w for n, w in weights.items()})


@torch.no_grad()
def load_moments(optimizer: torch.optim.Optimizer, saved: Any, was_trained: Callable[[int], bool]) -> None:
    """Go on with the state that an optimizer had kept of each weight that `was_trained`, by the weight's number.

    ValueError unless it is what this optimizer keeps of such a weight, which a step shows that begins it: fused
    optimizers read and write whatever memory they are given. One whose step is not torch's own may have begun to keep
    more at a later step. The step changes weights, which are to be loaded after it.
    """
    exact = type(optimizer).step.__module__.startswith("torch.optim.")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not isinstance(saved, dict):
        raise ValueError(f"the optimizer's state is {saved!r:.60}, needed one of each weight, by its number")
    if unknown := saved.keys() - {*range(len(weights))}:
        raise ValueError(f"the optimizer's state is of a weight no. {min(unknown, key=str)}, there are {len(weights)}")
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for number, weight in enumerate(weights):
        if number not in saved:
            if optimizer.state.pop(weight, None) and was_trained(number):
                raise ValueError(f"the optimizer's state lacks weight {number}, which was trained")
            continue
        mine, theirs = optimizer.state[weight], saved[number]
        if not isinstance(theirs, dict) or mine.keys() - theirs.keys() or (exact and theirs.keys() != mine.keys()):
            has = ", ".join(map(str, theirs)) if isinstance(theirs, dict) else repr(theirs)[:60]
            raise ValueError(f"the optimizer's state of weight {number} is {has or 'empty'}, needed {', '.join(mine)}")
        for name, value in theirs.items():
            like = mine[name] if name in mine else as_weight_or_scalar(value, weight)
            mine[name] = as_kept(value, like, f"{name} of weight {number}")


def as_weight_or_scalar(saved: Any, weight: Tensor) -> Any:
    """What an optimizer may keep of a weight beside what its first step shows: of the weight's shape, or one number."""
    if not isinstance(saved, Tensor):
        return saved
    if saved.numel() == 1:
        return torch.empty(saved.shape, dtype=saved.dtype, device=weight.device)
    return torch.empty_like(weight, dtype=saved.dtype)


def differs_from_averages(state: Mapping[str, Any], name: str) -> bool:
    """Whether a weight was trained: its averages began as copies of it, and stay so while it stays as it is."""
    averages = [average[name] for average in state["ema"].values() if name in average]
    return any(not torch.equal(average, state["model"][name]) for average in averages)


def load_scale(scaler: torch.amp.GradScaler, saved: Mapping[str, Any]) -> None:
    """Go on with the loss scale of fp16; ValueError unless it is one. Other precisions have none."""
    mine = scaler.state_dict()
    if mine and not (saved.keys() == mine.keys() and all(isinstance(saved[n], type(mine[n])) for n in mine)):
        raise ValueError(f"the loss scale is {dict(saved)!r:.100}, needed {', '.join(mine)}")
    if mine and not 0 < saved["scale"] < math.inf:
        raise ValueError(f"the loss scale is {saved['scale']}, and must be a positive number")
    scaler.load_state_dict(dict(saved))


def as_kept(saved: Any, mine: Any, name: str) -> Any:
    """What was saved, as the optimizer keeps it; ValueError if it keeps another kind of thing there."""
    if not isinstance(mine, Tensor):
        if type(saved) is not type(mine):
            raise ValueError(f"{name} is a {type(saved).__name__}, needed a {type(mine).__name__}")
        return saved
    if not isinstance(saved, Tensor):
        raise ValueError(f"{name} is a {type(saved).__name__}, needed a tensor")
    return laid_out_like(saved, mine, name)
