"""What the settings in a checkpoint must say, of the model and of the images it learned from, before any is built."""

from typing import Any

from diffusion.config.preflight import check_size

DESCRIBED = ("model", "diffusion", "data", "train")  # None where a run that was begun in Python could not say


def check_facts(config: dict[str, Any]) -> None:
    """Raise ValueError unless every setting that opening or measuring a model looks up is there and of its kind."""
    for part in DESCRIBED:
        if part not in config or not isinstance(config[part], dict | None):
            raise ValueError(f"the checkpoint says {part}={config.get(part)!r:.60}, which describes nothing")
    if config["data"] is not None and not isinstance(config["data"].get("_target_"), str):
        raise ValueError("the checkpoint says of its data no class; give the images yourself: data=...")
    conditions, dropout = config.get("conditions"), (config["train"] or {}).get("label_dropout", 0)
    if not isinstance(conditions, dict):
        raise ValueError(f"the checkpoint says that its conditions are {conditions!r:.60}, and not which")
    if not isinstance(dropout, int | float):
        raise ValueError(f"the checkpoint says train.label_dropout={dropout!r:.60}, which is no number")
    check_images(config.get("shape"), config.get("classes"), (config["model"] or {}).get("num_classes"))


def check_images(shape: Any, classes: Any, known: Any) -> None:
    """Raise ValueError unless images can have that shape and those classes, of which a network has `known`."""
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)):
        raise ValueError(f"the checkpoint says that its images are {shape!r:.60}, and not (C, H, W)")
    check_size(tuple(shape))
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise ValueError(f"the checkpoint says that its classes are {classes!r:.60}, and not a list of names")
    if classes and isinstance(known, int) and len(classes) > known:
        raise ValueError(f"the checkpoint names {len(classes)} classes, and its network knows {known}")
