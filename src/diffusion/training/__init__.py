"""Training: the learner, the loop around it, and all that a run leaves behind."""

from diffusion.training.optimizer import adamw
from diffusion.training.preview import Preview
from diffusion.training.trainer import Run, Trainer

__all__ = ["Preview", "Run", "Trainer", "adamw"]
