"""From objects to a configuration: what a checkpoint keeps of a run that was begun in Python."""

from typing import Any

from diffusion.config.signature import as_list, is_plain, signature


def describe(choice: object) -> dict[str, Any] | None:
    """The configuration that builds an object like this one; None if it does not keep its constructor's arguments.

    They are read off its `settings`, or its attributes of the same names. None too for a class that no name leads to,
    such as one that was defined in a function.
    """
    kind = type(choice)
    package = kind.__module__.partition(".")[0]
    place = package if package in ("diffusion", "unet") else kind.__module__
    found: dict[str, Any] = {"_target_": f"{place}.{kind.__qualname__}"}
    try:
        settings = signature(found["_target_"]).settings
    except ValueError:
        return None
    kept = getattr(choice, "settings", None) or vars(choice)
    for key in settings:
        if key not in kept:
            return None
        value = as_list(kept[key])
        found[key] = value if is_plain(value) else describe(value)
        if found[key] is None and value is not None:
            return None
    return found
