"""Models from folders of diffusers: their parts described as a configuration, as a checkpoint's are."""

from pathlib import Path
from typing import Any

from diffusion.compute.device import resolve_device
from diffusion.config.describe import describe
from diffusion.data.conditions import BY_LABEL
from diffusion.inference.trained import Trained
from diffusion.interchange.folder import read_folder


def load_folder(
    path: str, *, device: str, ema: float | str | None = None, data: dict[str, Any] | None = None
) -> Trained:
    """The model in a folder of a UNet2DModel and its scheduler; `data` says what it was trained on, if anyone does."""
    if ema is not None:
        raise ValueError(f"{path} holds one set of weights; leave ema={ema} out")
    place, found = resolve_device(device), read_folder(Path(path))
    config = {
        "model": describe(found.network),
        "diffusion": describe(found.diffusion),
        "data": data,
        "conditions": {name: describe(condition) for name, condition in BY_LABEL.items()},
        "train": {"label_dropout": found.label_dropout},
        "shape": list(found.shape),
        "classes": found.classes,
    }
    return Trained(
        network=found.network.to(place).eval(),
        diffusion=found.diffusion,
        shape=found.shape,
        classes=found.classes,
        config=config,
        step=None,
        weights=Path(path).resolve().name,
        device=place,
    )
