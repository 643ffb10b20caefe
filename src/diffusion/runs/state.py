"""What the state in a checkpoint must be, part by part, whoever wrote it: held against it before and after."""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from diffusion.runs.plain_pickle import DTYPES, MOST_AXES, MOST_OPCODES
from diffusion.runs.printable import printable

PLAIN = (bool, int, float, str)
LEAVES = (*PLAIN, Tensor)
MOST_STEPS = 2**48
MOST_LEVELS = 30
MOST_SETTINGS = 5_000  # ten times what an experiment has
MOST_NAMES = 1_000_000  # of classes, or numbers that an optimizer or a law of levels keeps
TEXT = 64  # so many letters count as one more value
OPCODES = 4  # of a pickle that one value takes at most
TENSOR = 8  # values that a tensor counts as
DICTS, LISTS = (dict, OrderedDict), (list, tuple, torch.Size)
WIDTH = "width_"  # before the width, as a name of an average
AVERAGE = re.compile(rf"({WIDTH})?0?\.\d+|({WIDTH})?\d+(\.\d+)?e-\d+|0(\.0)?")


def wrong_parts(state: dict[Any, Any]) -> list[str]:
    """The names of the parts that a state lacks, should not have, or has of a wrong kind."""
    lacking = [name for name in PARTS if name not in state and name not in OPTIONAL]
    wrong = [name for name, value in state.items() if name not in PARTS or not PARTS[name](value)]
    return [printable(str(name))[:60] for name in lacking + wrong]


def require_readable(state: dict[str, Any]) -> None:
    """Raise ValueError with the first of these parts of a state that could not be read back from a checkpoint."""
    for name, value in state.items():
        if not PARTS[name](value):
            place = f"checkpoint[{name!r}]"
            rest = f"{place} is too large, or not of the form that checkpoints have: {PARTS[name].__doc__}"
            raise ValueError(next(faults(value, place), rest))
    if not is_tree(state, LEAVES, keys=(str, int), most=MOST_OPCODES // OPCODES):
        raise ValueError(f"the state to keep holds more tensors or values than a checkpoint may ({MOST_OPCODES})")


def faults(value: Any, place: str, levels: int = MOST_LEVELS) -> Iterator[str]:
    """What no checkpoint holds, wherever it is in a value."""
    if not levels:
        yield f"{place} lies more than {MOST_LEVELS} levels deep"
    elif type(value) in DICTS:
        for key, each in value.items():
            if type(key) not in (str, int):
                yield f"{place} has the key {key!r:.60}; a checkpoint holds dicts by text or number"
            yield from faults(each, f"{place}[{key!r:.60}]", levels - 1)
    elif type(value) in LISTS:
        for number, each in enumerate(value):
            yield from faults(each, f"{place}[{number}]", levels - 1)
    elif not is_leaf(value, LEAVES):
        kind = f"a {type(value).__module__}.{type(value).__qualname__}"
        if type(value) is Tensor:
            kind = f"a {value.layout} tensor of {value.dtype} and {value.ndim} axes".replace("torch.", "")
        elif type(value) is int:
            kind = "an int of more than 64 bits"
        yield f"{place} is {kind}; a checkpoint holds dense tensors, dicts, lists, text, int, float, bool, None"


def is_leaf(value: Any, kinds: tuple[type, ...]) -> bool:
    """True for None, and what is exactly of one of these kinds and is read back as it was."""
    if type(value) is Tensor and Tensor in kinds:
        dense = value.layout is torch.strided and not value.is_nested
        return dense and value.dtype in DTYPES and value.ndim <= MOST_AXES
    return value is None or (type(value) in kinds and not (type(value) is int and abs(value) >= 2**63))


def is_step(value: Any) -> bool:
    """A number of steps."""
    return type(value) is int and 0 <= value < MOST_STEPS


def is_weights(value: Any) -> bool:
    """Tensors by name."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and name.isprintable() and is_leaf(tensor, (Tensor,)) for name, tensor in value.items()
    )


def are_averages(value: Any) -> bool:
    """Weights by their rate, or by their width."""
    return isinstance(value, dict) and all(
        AVERAGE.fullmatch(str(name)) and is_weights(weights) for name, weights in value.items()
    )


def is_state(value: Any) -> bool:
    """What an optimizer or a law of levels keeps: tensors and plain values, in dicts by name or number."""
    return isinstance(value, dict) and is_tree(value, LEAVES, keys=(int, str), most=MOST_NAMES)


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
            most -= len(node) // TEXT + 1 if isinstance(node, str) else TENSOR if isinstance(node, Tensor) else 1
            if type(node) in DICTS:
                if not all(type(key) in keys for key in node):
                    return False
                inner += [*node.keys(), *node.values()]
            elif type(node) in LISTS:
                inner += node
            elif not is_leaf(node, leaves):
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
