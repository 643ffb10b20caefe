"""Settings as earlier versions stored them, turned into today's."""

from __future__ import annotations

from typing import Any

LABEL = {"_target_": "diffusion.data.conditions.Label"}
SMALL_IMAGE = "diffusion.data.conditions.SmallImage"


def conditions_from_before(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with `conditions`, which were once the label and, by a wrapper of the data, the small image."""
    if "conditions" in settings:
        return settings
    data, conditions = settings.get("data") or {}, {"y": LABEL}
    if "low_res_size" in data and "images" in data:
        conditions = {**conditions, "low_res": {"_target_": SMALL_IMAGE, "size": data["low_res_size"]}}
        data = data["images"]
    return {**settings, "data": data, "conditions": conditions}
