"""The names that runs were given until they became shorter: what lies in such a folder is found and goes on there."""

import hashlib
import re
from collections.abc import Collection, Iterable

from diffusion.runs.resuming import same_experiment

MOST_LETTERS = 100


def former_run_name(overrides: Iterable[str], also: Collection[str] = ()) -> str:
    """model.heads=2 and data.root=/a/b as data.root-a-b-9f02cbd2+model.heads-2; "default" without any."""
    chosen = sorted(o.lstrip("+~") for o in overrides if not same_experiment(o.lstrip("+~").split("=")[0], also))
    name = "+".join(former_word(override) for override in chosen) or "default"
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 9]}-{long_hash(name)}"


def former_word(override: str) -> str:
    """The key in full and the value, with a hash where the value is no word, number or list of numbers."""
    key, _, value = override.partition("=")
    text = re.sub(r"[^\w.]+", "-", f"{key}-{value}", flags=re.ASCII).strip("-")
    readable = re.fullmatch(r"\w[\w.]*(-[\w.]+)*|\[?[\d.]+(,[\d.]+)*]?|", value, re.ASCII)
    return text if readable else f"{text}-{long_hash(override)}"


def long_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
