"""Every part of a state is of its kind, and of a size that who walks through it bears."""

import time

import pytest
import torch
from tiny_training import tiny_state

from diffusion.runs.state import MOST_SETTINGS, is_tree, wrong_parts


def nested(depth):
    node = {}
    for _ in range(depth):
        node = {"deeper": node}
    return node


def shared(depth):
    node = []
    for _ in range(depth):
        node = [node, node]
    return node


def circular():
    node = {}
    node["again"] = node
    return node


def test_a_sound_state_has_no_wrong_parts():
    assert wrong_parts({"format": 1, **tiny_state(3)}) == []
    averages = {name: {} for name in ("0.9", "0.9999", "1e-05", "0.0", "0", "width_0.05")}
    settings = {"classes": ["name"] * 2 * MOST_SETTINGS, "a": [1, 2.5, None, True, "text", {"b": ()}]}
    assert wrong_parts({"format": 1, **tiny_state(3), "beside": {}, "ema": averages, "config": settings}) == []


@pytest.mark.parametrize(
    "part, value",
    [
        ("step", -1), ("step", True), ("step", 2**48), ("step", 3.0), ("model", []), ("model", {"a": 1}),
        ("model", {1: 2}), ("model", {"\x1b": torch.zeros(1)}), ("ema", {"0.9": 3}), ("ema", {"0.9/../x": {}}),
        ("ema", {"nan": {}}),        ("ema", {"1.5": {}}), ("ema", {" 0.9": {}}), ("optimizer", None),
        ("optimizer", {"state": {(): 1}}),
        ("optimizer", {"state": shared(40)}), ("scaler", 3), ("schedule_sampler", circular()), ("averages", {"a": 1}),
        ("config", nested(5000)), ("config", {"a": shared(26)}), ("config", circular()), ("config", {"a": 2**63}),
        ("config", {1: 2}), ("config", {"a": [0] * MOST_SETTINGS}), ("config", {"a": "x" * 64 * MOST_SETTINGS}),
        ("config", {"a": torch.zeros(1)}), ("config", {"classes": shared(30)}), ("extra", 1), (3, 1),
    ],
)  # fmt: skip
def test_a_part_of_a_wrong_kind_is_named_at_once(part, value):
    since = time.perf_counter()
    assert wrong_parts({"format": 1, **tiny_state(3), part: value}) == [str(part)]
    assert time.perf_counter() - since < 1


def test_a_part_that_is_not_there_is_named():
    state = {"format": 1, **tiny_state(3)}
    del state["ema"], state["config"]
    assert wrong_parts(state) == ["ema", "config"]


def test_what_stands_in_several_places_counts_in_each():
    assert is_tree(shared(3), (), keys=(), most=15) and not is_tree(shared(3), (), keys=(), most=14)
