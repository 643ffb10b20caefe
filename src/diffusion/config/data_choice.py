"""Which images a configuration of data means, and how to mean others of the same set."""

from __future__ import annotations

import copy
from typing import Any

from diffusion.runs import naming
from diffusion.runs.resuming import flatten, same_experiment


def with_split(data: dict[str, Any], split: str) -> dict[str, Any]:
    """The configuration of data, with another split where it is one of train and test."""
    if "images" in data:
        return {**data, "images": with_split(data["images"], split)}
    return {**data, "split": split} if data.get("split") in ("train", "test") else data


def without_download(data: dict[str, Any]) -> dict[str, Any]:
    """The configuration of data, where nothing is fetched and nothing is written but to the usual cache."""
    if "images" in data:
        return {**data, "images": without_download(data["images"])}
    harmless = {"download": False, "cache": "auto"}
    return {key: harmless.get(key, value) for key, value in data.items()}


def described(data: dict[str, Any]) -> dict[str, Any]:
    """What decides which images these are: not how they are read, nor whether training mirrors them."""
    data = copy.deepcopy(data)
    naming.resolve_roots(data)
    settings = flatten({"data": data})
    return {key: settings[key] for key in settings if not same_experiment(key) and not key.endswith(".flip")}
