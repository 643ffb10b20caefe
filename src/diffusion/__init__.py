"""Denoising diffusion (Nichol & Dhariwal 2021): the method, its training and its samplers.

Every class of a choice is found here by its own name, such as `diffusion.Cosine`, wherever its file lies: settings are
stored under these names. Importing the package is light: a class is imported when it is first asked for.
"""

import importlib
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

if os.name == "nt":  # whose files and processes are locked, flushed and signalled in other ways
    raise SystemExit("hydra-diffusion runs on Linux and macOS; on Windows, run it in WSL (type: wsl --install)")

ROOMS = (
    "process", "denoiser", "losses", "samplers", "tasks", "data", "evaluation", "training", "tracking", "inference",
)  # fmt: skip
FUNCTIONS = {
    "as_factor": "diffusion.process.level",
    "descent": "diffusion.samplers.sampler",
    "draw": "diffusion.samplers.sampler",
    "load": "diffusion.config.python",
    "train": "diffusion.config.python",
    "kept_steps": "diffusion.process.respacing",
    "moves": "diffusion.process.level",
    "trajectory": "diffusion.samplers.sampler",
    "transformed": "diffusion.denoiser.denoiser",
    "write_result": "diffusion.evaluation.subject",
}


@cache
def public_classes() -> dict[str, str]:
    """The public classes at the top of the rooms' files: name -> module. The files are read, not imported."""
    home = Path(__file__).parent
    return {
        name: ".".join(("diffusion", *path.relative_to(home).with_suffix("").parts))
        for room in ROOMS
        for path in sorted((home / room).rglob("*.py"))
        for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(encoding="utf-8"), re.M)
    }


def __getattr__(name: str) -> Any:
    module = FUNCTIONS.get(name) or (public_classes().get(name) if name[:1].isupper() else None)
    if module is None:
        raise AttributeError(f"module 'diffusion' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(module), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *FUNCTIONS, *public_classes()})
