"""What the state in a checkpoint must be, part by part, whoever wrote it."""

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from diffusion.runs.printable import printable
from diffusion.runs.snapshots import WIDTH

PLAIN = (bool, int, float, str)
MOST_STEPS = 2**48
MOST_LEVELS = 30
MOST_SETTINGS = 5_000  # ten times what an experiment has
MOST_NAMES = 1_000_000  # of classes, or numbers that an optimizer or a law of levels keeps
TEXT = 64  # so many letters count as one more value
AVERAGE = re.compile(rf"({WIDTH})?0?\.\d+|({WIDTH})?\d+(\.\d+)?e-\d+|0(\.0)?")


def wrong_parts(state: dict[Any, Any]) -> list[str]:
    """The names of the parts that a state lacks, should not have, or has of a wrong kind."""
    lacking = [name for name in PARTS if name not in state and name not in OPTIONAL]
    wrong = [name for name, value in state.items() if name not in PARTS or not PARTS[name](value)]
    return [printable(str(name))[:60] for name in lacking + wrong]


def is_step(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST_STEPS


def is_weights(value: Any) -> bool:
    """Tensors by name."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and name.isprintable() and isinstance(tensor, Tensor) for name, tensor in value.items()
    )


def are_averages(value: Any) -> bool:
    """Weights by their rate, or by their width."""
    return isinstance(value, dict) and all(
        AVERAGE.fullmatch(str(name)) and is_weights(weights) for name, weights in value.items()
    )


def is_state(value: Any) -> bool:
    """What an optimizer or a law of levels keeps: tensors and plain values, in dicts by name or number."""
    return isinstance(value, dict) and is_tree(value, (*PLAIN, Tensor), keys=(int, str), most=MOST_NAMES)


def are_settings(value: Any) -> bool:
    """Plain values by name. Only the classes of the data can be many."""
    if not isinstance(value, dict):
        return False
    rest = {name: setting for name, setting in value.items() if name != "classes"}
    return is_tree(rest, PLAIN, keys=(str,), most=MOST_SETTINGS) and is_tree(
        value.get("classes"), PLAIN, keys=(), most=MOST_NAMES
    )


def is_tree(tree: Any, leaves: tuple[type, ...], *, keys: tuple[type, ...], most: int) -> bool:
    """True for dicts, lists and tuples of such leaves and None that hold at most `most` values, a few levels deep.

    A part that stands in several places counts in each, as who walks through the tree meets it there.
    """
    level = [tree]
    for _ in range(MOST_LEVELS):
        inner: list[Any] = []
        for node in level:
            most -= 1 + (len(node) // TEXT if isinstance(node, str) else 0)
            if isinstance(node, dict):
                if not all(isinstance(key, keys) for key in node):
                    return False
                inner += [*node.keys(), *node.values()]
            elif isinstance(node, list | tuple):
                inner += node
            elif not (node is None or isinstance(node, leaves)) or (isinstance(node, int) and abs(node) >= 2**63):
                return False
            if len(inner) > most:
                return False
        if not inner:
            return most >= 0
        level = inner
    return False


PARTS: dict[Any, Callable[[Any], bool]] = {
    "format": is_step, "step": is_step, "model": is_weights, "ema": are_averages, "optimizer": is_state,
    "scaler": is_state, "schedule_sampler": is_state, "averages": is_weights, "config": are_settings,
    "beside": is_weights,
}  # fmt: skip
OPTIONAL = ("beside",)  # which earlier versions did not write
