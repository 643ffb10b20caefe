"""What pictures are called: which model drew them, and how."""

import re

from diffusion.inference.trained import Trained
from diffusion.samplers.sampler import Sampler
from diffusion.tasks.draw import Draw
from diffusion.tasks.task import Task

BETWEEN = " · "


def model_title(model: Trained) -> str:
    """The run, how long it learned, and which weights: "default · step 2,500 · ema_0.98"."""
    run = str(model.config.get("name") or model.name)
    return BETWEEN.join([run, *([] if model.step is None else [f"step {model.step:,}"]), model.weights])


def picture_title(model: Trained, sampler: Sampler, *, seed: int, task: Task | None = None) -> str:
    """Two lines about what `model` drew: which one it is, and below it the task, the sampler and the seed."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(task or Draw()).__name__).lower()
    guidance = model.guidance.name.replace("_", " ")
    parts = ["" if kind == "draw" else kind, drawn_by(sampler), f"seed {seed}", guidance]
    return f"{model_title(model)}\n{BETWEEN.join(filter(None, parts))}"


def drawn_by(sampler: Sampler) -> str:
    """A sampler and its steps: "Ancestral, 50 steps"."""
    return f"{type(sampler).__name__}, {'all' if sampler.steps is None else sampler.steps} steps"
